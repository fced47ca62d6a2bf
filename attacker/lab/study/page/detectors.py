"""What each detector caught, how late, and how often it cried wolf."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from attacker.lab.proportion import Proportion, proportion
from attacker.lab.spread import Spread, clipped, spread
from attacker.lab.study.page.theft import Offer
from attacker.lab.study.read import DetectionRow, HonestRow

Verdict = Literal["kept", "broken", "not decided"]
HONEST = "honest:"
"""Opens the name of an honest user where one stands for an attacker: its alarms are false."""
ALL_USERS = "all users"


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
    delay: Spread | None
    """Queries up to the first alarm, over the campaigns that were caught; None of none."""
    stolen: Spread | None
    """Accuracy of a surrogate trained on what had been bought by then."""
    final: Spread | None
    """Accuracy in the end, had nobody acted."""


@dataclass(frozen=True)
class FalseAlarms:
    """How often one honest user raised an alarm."""

    watcher: str
    """The plan that the user had, or the one detector that is looked at."""
    detectors: tuple[str, ...]
    """What watched under a plan; empty where its fields are not known."""
    user: str
    windows: Proportion

    def verdict(self, target: float) -> Verdict:
        """Return whether the rate is shown to be at most ``target``, or to be above it."""
        if self.windows.high <= target:
            return "kept"
        return "broken" if self.windows.low > target else "not decided"


def caught(rows: Iterable[DetectionRow]) -> tuple[Caught, ...]:
    """Return a row for every detector and attacker, in the order of the table."""
    groups: dict[tuple[str, str], list[DetectionRow]] = {}
    for row in rows:
        if not row.attacker.startswith(HONEST):
            groups.setdefault((row.detector, row.attacker), []).append(row)
    return tuple(_caught(*place, own) for place, own in groups.items())


def _caught(detector: str, attacker: str, rows: Sequence[DetectionRow]) -> Caught:
    alarmed = [row for row in rows if row.first_alarm_query is not None]
    return Caught(
        detector=detector,
        attacker=attacker,
        target=max(row.false_alarm_target for row in rows),
        windows=proportion(sum(row.alarms for row in rows), sum(row.windows for row in rows)),
        campaigns=len(rows),
        alarmed=len(alarmed),
        delay=spread([float(row.first_alarm_query or 0) for row in alarmed]),
        stolen=_share([row.stolen_at_alarm for row in alarmed]),
        final=_share([row.accuracy for row in rows]),
    )


def watchers(document: dict[str, Any] | None) -> tuple[str, ...]:
    """Return the kinds of the detectors that a plan of this document has."""
    return tuple(str(one.get("kind")) for one in (document or {}).get("detectors") or ())


def detector_alarms(rows: Iterable[DetectionRow]) -> tuple[FalseAlarms, ...]:
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
        found += _by_user(shown, watchers(None if offer is None else offer.document), counts)
    return tuple(found)


_Count = tuple[str, int, int]
"""A user, the alarms and the windows."""


def _by_user(
    watcher: str, kinds: tuple[str, ...], counts: Sequence[_Count]
) -> Iterator[FalseAlarms]:
    users = list(dict.fromkeys(user for user, _, _ in counts))
    for user in [*users, *([ALL_USERS] if len(users) > 1 else [])]:
        own = [one for one in counts if user in (one[0], ALL_USERS)]
        counted = proportion(sum(one[1] for one in own), sum(one[2] for one in own))
        if counted is not None:
            yield FalseAlarms(watcher, kinds, user, counted)


def _share(values: Iterable[float | None]) -> Spread | None:
    found = spread([value for value in values if value is not None])
    return None if found is None else clipped(found)
