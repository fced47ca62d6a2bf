"""Decides the trends that the tables state, each by the intervals alone and by a rule fixed before.

A trend holds where the intervals show it, does not hold where they show that it is not so, and is
not decided where they are too wide for either, or where too few seeds have finished. The rules are
in words in :data:`RULES`, which the page prints.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from attacker.lab.spread import Spread, spread
from attacker.tables.claims import (
    VICTIM,
    AboutEqual,
    Above,
    AtChance,
    Claim,
    Figure,
    JumpThenPlateau,
    RisesWith,
)
from shared.config import Frozen

Verdict = Literal["holds", "does not hold", "not decided"]
CHANCE_LEAD = 0.05
"""Part of the victim's lead over chance that a row at chance may have at most; our choice."""
PLATEAU = 0.5
"""Part of the first step by which a plateau may leave its beginning; our choice."""
_Z95 = 1.959964

RULES: dict[str, str] = {
    "above": (
        "Every difference of a row and a row that it should lie above, paired by seed, has an "
        "interval above zero. One interval at or below zero, and it does not hold."
    ),
    "at_chance": (
        "The row's interval begins no higher than a guess on this test split may reach (one label "
        "in K, and 1.96 standard errors of its clips), and it ends within a twentieth of the "
        "victim's lead over chance: a wider one could hide a real copy, and decides nothing. An "
        "interval wholly above the guess, and it does not hold."
    ),
    "about_equal": (
        "Every difference, paired by seed, has an interval within the margin that is stated. One "
        "interval wholly outside, and it does not hold. That two figures cannot be told apart is "
        "no proof that they are equal."
    ),
    "rises_with": (
        "The last row lies above the first and, where there are more than two, above the second, "
        "so that the rise goes on after its first step; both paired by seed. A step that is shown "
        "to fall, and it does not hold. Nothing is decided where the rows themselves do not rise "
        "in what the figure should rise with."
    ),
    "jump_then_plateau": (
        "The first step has an interval above zero, and every later row stays, up and down, within "
        "half of that step of the row after it; paired by seed. So no later step is as large as "
        "the first. A first step at or below zero, or a later row shown to leave, and it does not "
        "hold."
    ),
}
"""By kind of claim, when it holds and when not."""


class Evidence(Frozen):
    """One comparison that a verdict rests on."""

    label: str
    spread: Spread | None
    """Of the difference, or of the figure itself where the claim is about chance."""
    verdict: Verdict
    seeds: tuple[int, ...]


class Decision(Frozen):
    """A claim, and what the intervals say of it."""

    kind: str
    text: str
    figure: Figure
    verdict: Verdict
    reason: str
    """Why it is not decided, where something other than an interval's width is the cause."""
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class Sheet:
    """The figures of a table's finished cells, as shares or as counts."""

    figures: Mapping[str, Mapping[Figure, Mapping[int, float]]]
    """By row id, figure and seed."""
    settings: Mapping[str, Mapping[str, float]]
    """By row id."""
    victim_accuracy: float
    n_classes: int
    test_clips: int

    def of(self, row: str, figure: Figure) -> Mapping[int, float]:
        """Return the figure of ``row`` by seed."""
        return self.figures.get(row, {}).get(figure, {})

    @property
    def chance(self) -> float:
        """Accuracy of a guess: one label in K."""
        return 1 / self.n_classes

    @property
    def highest_guess(self) -> float:
        """Accuracy that a guess reaches at most on 97.5 % of test splits of this size."""
        return self.chance + _Z95 * math.sqrt(self.chance * (1 - self.chance) / self.test_clips)


def decide(claim: Claim, sheet: Sheet) -> Decision:
    """Say whether the intervals of ``sheet`` bear ``claim`` out."""
    decider: Callable[[Any, Sheet], tuple[Sequence[Evidence], str]] = _DECIDERS[claim.kind]
    evidence, reason = decider(claim, sheet)
    verdict = "not decided" if reason else combine([item.verdict for item in evidence])
    return Decision(
        kind=claim.kind,
        text=claim.text,
        figure=claim.figure,
        verdict=verdict,
        reason=reason or _thin(evidence),
        evidence=tuple(evidence),
    )


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """Return what several comparisons say together, all of which must hold."""
    if "does not hold" in verdicts:
        return "does not hold"
    return "holds" if verdicts and set(verdicts) == {"holds"} else "not decided"


def _thin(evidence: Sequence[Evidence]) -> str:
    """Name the comparisons that lack the two seeds without which there is no interval."""
    thin = [item.label for item in evidence if len(item.seeds) < 2]
    return f"fewer than two seeds have finished for {', '.join(thin)}" if thin else ""


def _above(claim: Above, sheet: Sheet) -> tuple[list[Evidence], str]:
    pairs = [(row, than) for row in claim.rows for than in claim.than]
    return [_difference(sheet, claim.figure, row, than, _above_zero) for row, than in pairs], ""


def _at_chance(claim: AtChance, sheet: Sheet) -> tuple[list[Evidence], str]:
    if claim.figure not in ("accuracy", "fidelity"):
        return [], f"a guess has no {claim.figure}"
    ceiling = sheet.chance + CHANCE_LEAD * (sheet.victim_accuracy - sheet.chance)

    def judge(low: float, high: float) -> Verdict:
        if low > sheet.highest_guess:
            return "does not hold"
        return "holds" if high <= max(ceiling, sheet.highest_guess) else "not decided"

    return [_evidence(row, sheet.of(row, claim.figure), judge) for row in claim.rows], ""


def _about_equal(claim: AboutEqual, sheet: Sheet) -> tuple[list[Evidence], str]:
    if claim.figure == "volume":
        return [], "a margin in points says nothing of a volume"
    than = claim.than * len(claim.rows) if len(claim.than) == 1 else claim.than
    if len(than) != len(claim.rows):
        return [], "the claim does not name one row for each that it compares"
    margin = claim.margin_points / 100

    def judge(low: float, high: float) -> Verdict:
        if low > margin or high < -margin:
            return "does not hold"
        return "holds" if -margin <= low and high <= margin else "not decided"

    pairs = zip(claim.rows, than, strict=True)
    return [_difference(sheet, claim.figure, row, other, judge) for row, other in pairs], ""


def _rises_with(claim: RisesWith, sheet: Sheet) -> tuple[list[Evidence], str]:
    rows = claim.rows
    if len(rows) < 2:
        return [], "one row cannot rise"
    ends = [(rows[-1], rows[0])] + ([(rows[-1], rows[1])] if len(rows) > 2 else [])
    evidence = [_difference(sheet, claim.figure, a, b, _above_zero) for a, b in ends]
    for before, after in pairwise(rows):
        if (after, before) not in ends:
            step = _difference(sheet, claim.figure, after, before, _no_fall)
            evidence += [step] if step.verdict == "does not hold" else []
    return evidence, _premise(claim, sheet)


def _premise(claim: RisesWith, sheet: Sheet) -> str:
    """Say why the rows do not rise in what their figure should rise with, if they do not."""
    places = [_place(claim.x, row, sheet) for row in claim.rows]
    known = [place for place in places if place is not None]
    if len(known) < len(places):
        return f"not every row has a {claim.x} yet"
    if all(before < after for before, after in pairwise(known)):
        return ""
    return f"{claim.x} itself does not rise in this order of the rows"


def _place(x: str, row: str, sheet: Sheet) -> float | None:
    if x in ("coverage", "volume", "fidelity", "accuracy"):
        found = spread(list(sheet.of(row, x).values()))  # type: ignore[arg-type]
        return None if found is None else found.mean
    return sheet.settings.get(row, {}).get(x)


def _jump_then_plateau(claim: JumpThenPlateau, sheet: Sheet) -> tuple[list[Evidence], str]:
    if len(claim.rows) < 3:
        return [], "a plateau needs a third row"
    first, second, *later = claim.rows
    evidence = [_difference(sheet, claim.figure, second, first, _above_zero)]
    start, after = sheet.of(first, claim.figure), sheet.of(second, claim.figure)
    for row in later:
        here = sheet.of(row, claim.figure)
        seeds = sorted(start.keys() & after.keys() & here.keys())
        half = {seed: PLATEAU * (after[seed] - start[seed]) for seed in seeds}
        gain = {seed: here[seed] - after[seed] for seed in seeds}
        for word, room in (
            ("above", {seed: half[seed] - gain[seed] for seed in seeds}),
            ("below", {seed: half[seed] + gain[seed] for seed in seeds}),
        ):
            label = f"half the first step, less what {row} lies {word} {second}"
            evidence.append(_evidence(label, room, _above_zero))
    return evidence, ""


_DECIDERS: dict[str, Callable[[Any, Sheet], tuple[Sequence[Evidence], str]]] = {
    "above": _above,
    "at_chance": _at_chance,
    "about_equal": _about_equal,
    "rises_with": _rises_with,
    "jump_then_plateau": _jump_then_plateau,
}
_Judge = Callable[[float, float], Verdict]


def _above_zero(low: float, high: float) -> Verdict:
    return "holds" if low > 0 else "does not hold" if high <= 0 else "not decided"


def _no_fall(low: float, high: float) -> Verdict:
    return "does not hold" if high < 0 else "holds"


def _difference(sheet: Sheet, figure: Figure, row: str, than: str, judge: _Judge) -> Evidence:
    """Compare two rows over the seeds that both have; the victim has one figure for every seed."""
    own, other = sheet.of(row, figure), sheet.of(than, figure)
    if than == VICTIM:
        other = dict.fromkeys(own, _of_victim(sheet, figure))
    values = {seed: own[seed] - other[seed] for seed in sorted(own.keys() & other.keys())}
    return _evidence(f"{row} against {than}", values, judge)


def _of_victim(sheet: Sheet, figure: Figure) -> float:
    return sheet.victim_accuracy if figure == "accuracy" else 1.0


def _evidence(label: str, values: Mapping[int, float], judge: _Judge) -> Evidence:
    found = spread(list(values.values()))
    ends = None if found is None else found.interval
    verdict: Verdict = "not decided" if ends is None else judge(*ends)
    return Evidence(label=label, spread=found, verdict=verdict, seeds=tuple(values))
