"""One comparison of a claim: a difference over seeds, and what its interval says."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pydantic import Field

from attacker.lab.paper.sheet import Sheet
from attacker.lab.spread import Spread, spread
from attacker.tables.claims import VICTIM, Figure
from shared.config import Frozen

Verdict = Literal["holds", "does not hold", "not decided"]
Judge = Callable[[float, float], Verdict]
"""Both ends of an interval -> what they say."""


class Evidence(Frozen):
    """One comparison that a verdict rests on."""

    label: str
    spread: Spread | None
    """Of the difference, or of the figure itself where the claim is about chance."""
    verdict: Verdict
    seeds: tuple[int, ...]
    gaps: dict[str, str] = Field(default={})
    """By row, why there is no interval; empty where there is one."""


def above_zero(low: float, high: float) -> Verdict:
    """Judge whether something is shown to be positive."""
    return "holds" if low > 0 else "does not hold" if high <= 0 else "not decided"


def no_fall(low: float, high: float) -> Verdict:
    """Judge whether something is shown to be negative, which it must not be."""
    return "does not hold" if high < 0 else "holds"


def difference(sheet: Sheet, figure: Figure, row: str, than: str, judge: Judge) -> Evidence:
    """Compare two rows over the seeds that both have; the victim has one figure for every seed."""
    own, other = sheet.of(row, figure), sheet.of(than, figure)
    if than == VICTIM:
        other = dict.fromkeys(own, _of_victim(sheet, figure))
    values = {seed: own[seed] - other[seed] for seed in sorted(own.keys() & other.keys())}
    return weigh(f"{row} against {than}", values, judge, find_gaps(sheet, figure, (row, than)))


def weigh(
    label: str, values: Mapping[int, float], judge: Judge, gaps: Mapping[str, str]
) -> Evidence:
    """Return what ``judge`` makes of the interval of ``values`` (by seed).

    ``gaps`` are why the rows behind them lack seeds, and are kept where there is no interval.
    """
    found = spread(list(values.values()))
    ends = None if found is None else found.interval
    if ends is not None:
        return Evidence(label=label, spread=found, verdict=judge(*ends), seeds=tuple(values))
    why = dict(gaps) or {label: "fewer than two seeds in common"}
    seeds = tuple(values)
    return Evidence(label=label, spread=found, verdict="not decided", seeds=seeds, gaps=why)


def find_gaps(sheet: Sheet, figure: Figure, rows: Sequence[str]) -> dict[str, str]:
    """Return by row why it has no interval of ``figure``, for those of ``rows`` that have none."""
    return {row: why for row in rows if (why := sheet.gap(row, figure))}


def _of_victim(sheet: Sheet, figure: Figure) -> float:
    return sheet.victim_accuracy if figure == "accuracy" else 1.0
