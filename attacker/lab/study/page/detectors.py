"""What each detector caught, how late, and how often it cried wolf."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from attacker.lab.proportion import Proportion, proportion
from attacker.lab.spread import Spread, clipped, spread
from attacker.lab.study.page.theft import Offer
from attacker.lab.study.read import DetectionRow, HonestRow

Verdict = Literal["kept", "broken", "not decided"]


@dataclass(frozen=True)
class Caught:
    """What one detector did about one attacker, over seeds."""

    detector: str
    attacker: str
    target: float
    """The false-alarm rate that its threshold was fitted to."""
    windows: Proportion | None
    """Windows of the attacker's stream that raised an alarm; None of a stream without any."""
    campaigns: Proportion
    """Campaigns, one a seed, that raised at least one."""
    delay: Spread | None
    """Queries up to the first alarm, over the campaigns that were caught; None of none."""
    stolen: Spread | None
    """Accuracy of a surrogate trained on what had been bought by then."""
    final: Spread | None
    """Accuracy in the end, had nobody acted."""


@dataclass(frozen=True)
class FalseAlarms:
    """How often one honest user raised an alarm under one plan."""

    plan: str
    detectors: tuple[str, ...]
    """What watched; empty where the plan's fields are not known."""
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
        groups.setdefault((row.detector, row.attacker), []).append(row)
    return tuple(_caught(*place, own) for place, own in groups.items())


def _caught(detector: str, attacker: str, rows: Sequence[DetectionRow]) -> Caught:
    alarmed = [row for row in rows if row.first_alarm_query is not None]
    campaigns = proportion(len(alarmed), len(rows))
    assert campaigns is not None  # noqa: S101 - a group has a row at least
    return Caught(
        detector=detector,
        attacker=attacker,
        target=max(row.false_alarm_target for row in rows),
        windows=proportion(sum(row.alarms for row in rows), sum(row.windows for row in rows)),
        campaigns=campaigns,
        delay=spread([float(row.first_alarm_query or 0) for row in alarmed]),
        stolen=_share([row.stolen_at_alarm for row in alarmed]),
        final=_share([row.accuracy for row in rows]),
    )


def watchers(document: dict[str, Any] | None) -> tuple[str, ...]:
    """Return the kinds of the detectors that a plan of this document has."""
    return tuple(str(one.get("kind")) for one in (document or {}).get("detectors") or ())


def false_alarms(
    rows: Iterable[HonestRow] | None, offers: Sequence[Offer]
) -> tuple[FalseAlarms, ...]:
    """Return a row for every plan and honest user that were watched, and one for all its users."""
    names = {name: offer for offer in reversed(offers) for name in (offer.plan, offer.sold_as)}
    groups: dict[str, list[HonestRow]] = {}
    for row in rows or ():
        if row.windows:
            groups.setdefault(row.plan, []).append(row)
    found = []
    for plan, own in groups.items():
        offer = names.get(plan)
        shown = plan if offer is None else offer.label
        kinds = watchers(None if offer is None else offer.document)
        users = [(user, [r for r in own if r.user == user]) for user in _users(own)]
        for user, part in [*users, *([("all users", own)] if len(users) > 1 else [])]:
            counted = proportion(sum(r.alarms for r in part), sum(r.windows for r in part))
            if counted is not None:
                found.append(FalseAlarms(shown, kinds, user, counted))
    return tuple(found)


def _users(rows: Iterable[HonestRow]) -> list[str]:
    return list(dict.fromkeys(row.user for row in rows))


def _share(values: Iterable[float | None]) -> Spread | None:
    found = spread([value for value in values if value is not None])
    return None if found is None else clipped(found)
