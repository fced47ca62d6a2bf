"""What this process saw of each account: clips a second lately, refusals, and labels told.

It is for the operator's eyes only: no decision hangs on it, it is lost with the process, and it
keeps the accounts seen last when there are too many. Not thread-safe: it lives on the event loop.
"""

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from shared.errors import PROBLEMS

WINDOW_S = 10.0
_SLICE_S = 0.5
_MAX_ACCOUNTS = 4096


@dataclass
class _Seen:
    slices: deque[list[int]] = field(default_factory=deque)
    """[number of the slice of time, clips answered in it], oldest first; at most a window."""
    refusals: Counter[str] = field(default_factory=Counter)
    labels: set[int] = field(default_factory=set)


class Watch:
    """Meters accounts; memory is bounded by accounts, slices of a window, codes and labels."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, max_accounts: int = _MAX_ACCOUNTS
    ) -> None:
        self._clock = clock
        self._max_accounts = max_accounts
        self._begun_at = clock()
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def answered(self, account: str, clips: int, labels: Iterable[int] = ()) -> None:
        """Count an answer of ``clips`` that named ``labels``, replays and audits included."""
        seen = self._touch(account)
        seen.labels.update(labels)
        now = self._slice()
        if seen.slices and seen.slices[-1][0] == now:
            seen.slices[-1][1] += clips
        else:
            seen.slices.append([now, clips])
            self._prune(seen)

    def refused(self, account: str, code: str) -> None:
        """Count a refusal; what is no problem of the wire (a client that left) is none."""
        if code in PROBLEMS:
            self._touch(account).refusals[code] += 1

    def clips_per_s(self, account: str) -> float:
        """Return the clips answered a second over the last ``WINDOW_S``, or since the start."""
        seen = self._seen.get(account)
        if seen is None:
            return 0.0
        self._prune(seen)
        lived_s = max(_SLICE_S, self._clock() - self._begun_at)
        return sum(clips for _, clips in seen.slices) / min(WINDOW_S, lived_s)

    def refusals(self, account: str) -> dict[str, int]:
        """Return the refusals since the start, by code, the most frequent first."""
        seen = self._seen.get(account)
        return {} if seen is None else dict(seen.refusals.most_common())

    def labels_seen(self, account: str) -> int:
        """Return how many labels answers have named since the start: what coverage counts."""
        seen = self._seen.get(account)
        return 0 if seen is None else len(seen.labels)

    def _touch(self, account: str) -> _Seen:
        seen = self._seen.setdefault(account, _Seen())
        self._seen.move_to_end(account)
        if len(self._seen) > self._max_accounts:
            self._seen.popitem(last=False)
        return seen

    def _slice(self) -> int:
        return int((self._clock() - self._begun_at) / _SLICE_S)

    def _prune(self, seen: _Seen) -> None:
        oldest = self._slice() - int(WINDOW_S / _SLICE_S)
        while seen.slices and seen.slices[0][0] <= oldest:
            seen.slices.popleft()
