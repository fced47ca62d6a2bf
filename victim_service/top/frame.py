"""What one frame of the live view shows."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from shared.contract import AccountUsage


@dataclass(frozen=True)
class Service:
    """What a replica says of itself."""

    url: str
    state: str
    """ready, or the code of the problem that keeps it from serving."""
    queue_clips: int | None = None
    """Clips waiting for the model."""
    p50_s: float | None = None
    """Median time of its latest requests."""
    p99_s: float | None = None
    refused: int | None = None
    """Requests refused since its start, those included whose account nobody knows."""


@dataclass(frozen=True)
class Frame:
    """The state of all accounts at one time."""

    at: float
    """Seconds since 1970."""
    origin: str
    """Where it was read."""
    accounts: Sequence[AccountUsage]
    services: Sequence[Service] = ()
    trouble: str = ""
    """Why it is no newer, or not whole."""

    @property
    def ranked(self) -> list[AccountUsage]:
        """The accounts, the busiest first, then those that bought most."""
        return sorted(
            self.accounts,
            key=lambda one: (-(one.clips_per_s or 0.0), -one.spent, one.account),
        )


def meter(
    accounts: Sequence[AccountUsage], seen: Sequence[Sequence[AccountUsage]]
) -> list[AccountUsage]:
    """Return ``accounts`` with the rates and refusals that all replicas in ``seen`` saw."""
    rates: dict[str, float] = defaultdict(float)
    refusals: dict[str, Counter[str]] = {}
    for replica in seen:
        for one in replica:
            rates[one.account] += one.clips_per_s or 0.0
            refusals.setdefault(one.account, Counter()).update(one.refusals)
    return [
        one.model_copy(
            update={
                "clips_per_s": rates[one.account],
                "refusals": dict(refusals.get(one.account, Counter()).most_common()),
            }
        )
        for one in accounts
    ]
