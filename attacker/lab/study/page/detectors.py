"""What each detector caught, how late, and how often it cried wolf."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from attacker.lab.detection.rows import HONEST, Detection
from attacker.lab.detection.stolen import Mark, Stolen, around
from attacker.lab.proportion import Proportion, proportion
from attacker.lab.study.page.theft import Offer
from attacker.lab.study.page.told import detectors_of
from attacker.lab.study.read import HonestRow

Verdict = Literal["kept", "broken", "not decided"]
ALL_USERS = "all users"


@dataclass(frozen=True)
class Delay:
    """Queries up to the first alarm of a campaign, over seeds."""

    median: float | None
    """A campaign without an alarm is later than any other; None where such a one is the median."""
    least: int
    most: int
    """Of the campaigns that were caught."""


@dataclass(frozen=True)
class Caught:
    """What one detector did about one attacker, over seeds."""

    detector: str
    attacker: str
    target: float
    """The false-alarm rate that its threshold was fitted to."""
    windows: Proportion | None
    """Windows of the attacker's stream that raised an alarm; None of a stream without any."""
    campaigns: int
    """Campaigns, one a seed."""
    alarmed: int
    """Campaigns that raised an alarm at least once."""
    delay: Delay | None
    """None where no campaign was caught."""
    stolen: Stolen | None
    """The marks that all first alarms lie between; None where none was caught, or nothing known."""
    final: Mark | None
    """The last mark: what is stolen if nobody acts."""


@dataclass(frozen=True)
class FalseAlarms:
    """How often one honest user raised an alarm."""

    watcher: str
    """The plan that the user had, or the one detector that is looked at."""
    detectors: tuple[str, ...]
    """What watched under a plan; empty where its fields are not known."""
    user: str
    accounts: int
    """Accounts of such users, one a row."""
    accused: int
    """Those that raised an alarm at least once."""
    windows: Proportion

    def verdict(self, target: float) -> Verdict:
        """Return whether the rate is shown to be at most ``target``, or to be above it."""
        if self.windows.high <= target:
            return "kept"
        return "broken" if self.windows.low > target else "not decided"


def watched(rows: Iterable[Detection]) -> tuple[Caught, ...]:
    """Return a row for every attacker or honest user and detector, in the order of the table."""
    groups: dict[tuple[str, str], list[Detection]] = {}
    for row in rows:
        groups.setdefault((row.detector, row.attacker), []).append(row)
    return tuple(_caught(*place, own) for place, own in groups.items())


def caught(rows: Iterable[Detection]) -> tuple[Caught, ...]:
    """Return a row for every detector and attacker, in the order of the table."""
    return watched(row for row in rows if not row.attacker.startswith(HONEST))


def _caught(detector: str, attacker: str, rows: Sequence[Detection]) -> Caught:
    alarmed = [row for row in rows if row.first_alarm_query is not None]
    return Caught(
        detector=detector,
        attacker=attacker,
        target=max(row.false_alarm_target for row in rows),
        windows=proportion(sum(row.alarms for row in rows), sum(row.windows for row in rows)),
        campaigns=len(rows),
        alarmed=len(alarmed),
        delay=_delay([row.first_alarm_query or 0 for row in alarmed], len(rows)),
        stolen=around(row.stolen for row in alarmed if row.stolen is not None),
        final=next((row.final for row in rows if row.final is not None), None),
    )


def _delay(alarms: Sequence[int], campaigns: int) -> Delay | None:
    if not alarms:
        return None
    middle = median([*map(float, alarms), *[math.inf] * (campaigns - len(alarms))])
    return Delay(middle if math.isfinite(middle) else None, min(alarms), max(alarms))


def detector_alarms(rows: Iterable[Detection]) -> tuple[FalseAlarms, ...]:
    """Return a row for every detector and honest user, and one for all users of each detector."""
    groups: dict[str, list[_Count]] = {}
    for row in rows:
        if row.attacker.startswith(HONEST):
            user = row.attacker.removeprefix(HONEST)
            groups.setdefault(row.detector, []).append((user, row.alarms, row.windows))
    return tuple(one for name, counts in groups.items() for one in _by_user(name, (), counts))


def plan_alarms(
    rows: Iterable[HonestRow] | None, offers: Sequence[Offer]
) -> tuple[FalseAlarms, ...]:
    """Return a row for every plan and honest user that were watched, and one for all its users."""
    names = {name: offer for offer in reversed(offers) for name in (offer.plan, offer.sold_as)}
    groups: dict[str, list[_Count]] = {}
    for row in rows or ():
        if row.windows:
            groups.setdefault(row.plan, []).append((row.user, row.alarms, row.windows))
    found: list[FalseAlarms] = []
    for plan, counts in groups.items():
        offer = names.get(plan)
        shown = plan if offer is None else offer.label
        sold = None if offer is None else offer.document
        found += _by_user(shown, detectors_of(sold or {}), counts)
    return tuple(found)


_Count = tuple[str, int, int]
"""A user, the alarms and the windows of one account."""


def _by_user(
    watcher: str, kinds: tuple[str, ...], counts: Sequence[_Count]
) -> Iterator[FalseAlarms]:
    users = list(dict.fromkeys(user for user, _, _ in counts))
    for user in [*users, *([ALL_USERS] if len(users) > 1 else [])]:
        own = [one for one in counts if user in (one[0], ALL_USERS)]
        counted = proportion(sum(one[1] for one in own), sum(one[2] for one in own))
        if counted is not None:
            accused = sum(one[1] > 0 for one in own)
            yield FalseAlarms(watcher, kinds, user, len(own), accused, counted)
