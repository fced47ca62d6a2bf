"""What each plan costs those who are honest, the limits of that, and the front of both."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from attacker.lab.proportion import Proportion, proportion
from attacker.lab.spread import Spread, spread
from attacker.lab.study.page.theft import Offer
from attacker.lab.study.read import HonestRow
from shared.config import Frozen

Measure = Literal["lost", "l1", "ece"]


class Limits(Frozen):
    """The most that a plan may cost honest users, the same in every study."""

    lost: float = 0.01
    """Accuracy, as a share of clips that were answered."""
    refused: float = 0.01
    """Share of their clips that is refused."""
    false_alarms: float = 0.001
    """Share of their windows that raise an alarm."""
    added_p50_ms: float = 5.0
    """Milliseconds on top of the undefended median."""


LIMITS = Limits()


@dataclass(frozen=True)
class HonestCost:
    """What a plan costs: the worst user profile, for none of them is to pay for the others."""

    lost: Spread | None
    """Accuracy lost against the undefended answers, over seeds: the profile that loses most."""
    ece: Spread | None
    """Expected calibration error on top of the undefended one, likewise."""
    l1: Spread | None
    """Mean distance of an answer to the undefended one, 0 to 2, likewise."""
    added_p50_ms: Spread | None
    """Median latency on top of the undefended one, likewise."""
    refused: float
    alarms: Proportion | None
    """Alarms among the windows of all users; None where nothing watched."""

    def over(self, limits: Limits = LIMITS) -> list[str]:
        """Return the limits that are not kept, in words; none if all are."""
        found = []
        if self.lost is not None and self.lost.mean > limits.lost:
            found.append(
                f"honest users lose {100 * self.lost.mean:.1f} points of accuracy "
                f"(limit {100 * limits.lost:.1f})"
            )
        if self.refused > limits.refused:
            found.append(
                f"{100 * self.refused:.1f} % of their clips are refused "
                f"(limit {100 * limits.refused:.1f} %)"
            )
        if self.alarms and _surely_above(self.alarms, limits.false_alarms):
            found.append(
                f"{100 * self.alarms.share:.2f} % of their windows raise an alarm "
                f"(limit {100 * limits.false_alarms:.1f} %)"
            )
        if self.added_p50_ms and _surely_above(self.added_p50_ms, limits.added_p50_ms):
            found.append(
                f"answers take {self.added_p50_ms.mean:.1f} ms longer "
                f"(limit {limits.added_p50_ms:.0f})"
            )
        return found

    def surely_over(self, limits: Limits = LIMITS) -> bool:
        """Return whether a limit is broken by more than a mean, which one seed has as well."""
        return (
            _surely_above(self.lost, limits.lost)
            or self.refused > limits.refused
            or _surely_above(self.alarms, limits.false_alarms)
            or _surely_above(self.added_p50_ms, limits.added_p50_ms)
        )

    def unshown(self, limits: Limits = LIMITS) -> list[str]:
        """Return the limits whose interval reaches beyond them, in words: kept or not, who knows.

        Little or noisy honest traffic must not count for a plan. A latency without an interval is
        not known either way: on a busy machine a plan is slower than itself.
        """
        found = []
        if (ends := _across(self.lost, limits.lost)) is not None:
            found.append(
                f"that at most {100 * limits.lost:.1f} points of accuracy are lost "
                f"({100 * ends[0]:.1f} to {100 * ends[1]:.1f})"
            )
        if self.alarms and (ends := _across(self.alarms, limits.false_alarms)) is not None:
            found.append(
                f"that at most {100 * limits.false_alarms:.1f} % of windows raise an alarm "
                f"({100 * ends[0]:.2f} to {100 * ends[1]:.2f}; {self.alarms.trials:,} windows)"
            )
        if (ends := _across(self.added_p50_ms, limits.added_p50_ms)) is not None:
            found.append(
                f"that answers take at most {limits.added_p50_ms:.0f} ms longer "
                f"({ends[0]:+.1f} to {ends[1]:+.1f})"
            )
        elif self.added_p50_ms is not None and self.added_p50_ms.interval is None:
            found.append(
                f"that answers take at most {limits.added_p50_ms:.0f} ms longer "
                f"({self.added_p50_ms.mean:+.1f} with one seed, which has no interval)"
            )
        return found

    def measure(self, name: Measure) -> Spread | None:
        """Return one of the three figures of a plan's cost."""
        found: Spread | None = getattr(self, name)
        return found


def honest_cost(offer: Offer, rows: Iterable[HonestRow] | None) -> HonestCost | None:
    """Return what ``offer`` costs, or None where that was not measured."""
    names = {offer.sold_as, offer.plan}
    own = [row for row in rows or () if row.plan in names]
    if not own:
        return None
    users = [
        [row for row in own if row.user == user] for user in dict.fromkeys(r.user for r in own)
    ]
    return HonestCost(
        lost=_worst(users, lambda row: _less(row.victim_accuracy, row.accuracy)),
        ece=_worst(users, lambda row: _less(row.ece, row.victim_ece)),
        l1=_worst(users, lambda row: row.l1),
        added_p50_ms=_worst(users, lambda row: _less(row.p50_ms, row.base_p50_ms)),
        refused=max(_refused(user) for user in users),
        alarms=proportion(sum(row.alarms for row in own), sum(row.windows for row in own)),
    )


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return of each (cost, theft) whether no other is as small in both and smaller in one."""
    return [
        not any(other[0] <= own[0] and other[1] <= own[1] and other != own for other in points)
        for own in points
    ]


def _worst(
    users: Sequence[Sequence[HonestRow]], value: Callable[[HonestRow], float | None]
) -> Spread | None:
    found = [spread([v for row in rows if (v := value(row)) is not None]) for rows in users]
    return max((one for one in found if one is not None), key=lambda s: s.mean, default=None)


def _across(found: Spread | Proportion | None, limit: float) -> tuple[float, float] | None:
    """Return the interval if the limit lies within it; one seed has none."""
    if found is None or found.low is None or found.high is None:
        return None
    return (found.low, found.high) if found.low <= limit < found.high else None


def _surely_above(found: Spread | Proportion | None, limit: float) -> bool:
    """Return whether the whole interval lies above ``limit``; what has none is sure of nothing."""
    return found is not None and found.low is not None and found.low > limit


def _refused(rows: Sequence[HonestRow]) -> float:
    clips = sum(row.clips for row in rows)
    return sum(row.refused for row in rows) / clips if clips else 0.0


def _less(value: float | None, taken: float | None) -> float | None:
    return None if value is None or taken is None else value - taken
