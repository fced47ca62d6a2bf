"""How each kind of claim is compared: which differences its verdict rests on."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from attacker.lab.paper.compare import (
    Evidence,
    Verdict,
    above_zero,
    difference,
    find_gaps,
    no_fall,
    weigh,
)
from attacker.lab.paper.sheet import Sheet
from attacker.lab.spread import spread
from attacker.tables.claims import (
    FIGURES,
    AboutEqual,
    Above,
    AtChance,
    JumpThenPlateau,
    RisesWith,
)

CHANCE_LEAD = 0.05
"""Part of the victim's lead over chance that a row at chance may have at most; our choice."""
PLATEAU = 0.5
"""Part of the first step by which a plateau may leave its beginning; our choice."""
Found = tuple[Sequence[Evidence], str]
"""The comparisons, and why nothing can be decided whatever they say (or nothing)."""


def _above(claim: Above, sheet: Sheet) -> Found:
    pairs = [(row, than) for row in claim.rows for than in claim.than]
    return [difference(sheet, claim.figure, row, than, above_zero) for row, than in pairs], ""


def _at_chance(claim: AtChance, sheet: Sheet) -> Found:
    figure = claim.figure
    if figure not in ("accuracy", "fidelity"):
        return [], f"a guess has no {figure}"
    ceiling = sheet.chance + CHANCE_LEAD * (sheet.victim_accuracy - sheet.chance)

    def judge(low: float, high: float) -> Verdict:
        if low > sheet.highest_guess:
            return "does not hold"
        return "holds" if high <= max(ceiling, sheet.highest_guess) else "not decided"

    return [
        weigh(row, sheet.of(row, figure), judge, find_gaps(sheet, figure, (row,)))
        for row in claim.rows
    ], ""


def _about_equal(claim: AboutEqual, sheet: Sheet) -> Found:
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
    return [difference(sheet, claim.figure, row, other, judge) for row, other in pairs], ""


def _rises_with(claim: RisesWith, sheet: Sheet) -> Found:
    rows = claim.rows
    if len(rows) < 2:
        return [], "one row cannot rise"
    ends = [(rows[-1], rows[0])] + ([(rows[-1], rows[1])] if len(rows) > 2 else [])
    evidence = [difference(sheet, claim.figure, a, b, above_zero) for a, b in ends]
    for before, after in pairwise(rows):
        if (after, before) not in ends:
            step = difference(sheet, claim.figure, after, before, no_fall)
            # A step that nobody has seen is told as well: it may fall.
            evidence += [step] if step.verdict != "holds" else []
    return evidence, _premise(claim, sheet)


def _premise(claim: RisesWith, sheet: Sheet) -> str:
    """Say why the rows do not rise in what their figure should rise with, if they do not."""
    places = {row: _place(claim.x, row, sheet) for row in claim.rows}
    missing = [row for row, place in places.items() if place is None]
    if missing:
        return f"not every row has a {claim.x} yet (without: {', '.join(missing)})"
    known = [place for place in places.values() if place is not None]
    if all(before < after for before, after in pairwise(known)):
        return ""
    return f"{claim.x} itself does not rise in this order of the rows"


def _place(x: str, row: str, sheet: Sheet) -> float | None:
    figure = next((one for one in FIGURES if one == x), None)
    if figure is None:
        return sheet.settings.get(row, {}).get(x)
    found = spread(list(sheet.of(row, figure).values()))
    return None if found is None else found.mean


def _jump_then_plateau(claim: JumpThenPlateau, sheet: Sheet) -> Found:
    if len(claim.rows) < 3:
        return [], "a plateau needs a third row"
    first, second, *later = claim.rows
    evidence = [difference(sheet, claim.figure, second, first, above_zero)]
    start, after = sheet.of(first, claim.figure), sheet.of(second, claim.figure)
    for row in later:
        here = sheet.of(row, claim.figure)
        seeds = sorted(start.keys() & after.keys() & here.keys())
        half = {seed: PLATEAU * (after[seed] - start[seed]) for seed in seeds}
        gain = {seed: here[seed] - after[seed] for seed in seeds}
        gaps = find_gaps(sheet, claim.figure, (first, second, row))
        for word, room in (
            ("above", {seed: half[seed] - gain[seed] for seed in seeds}),
            ("below", {seed: half[seed] + gain[seed] for seed in seeds}),
        ):
            label = f"half the first step, less what {row} lies {word} {second}"
            evidence.append(weigh(label, room, above_zero, gaps))
    return evidence, ""


DECIDERS: dict[str, Callable[[Any, Sheet], Found]] = {
    "above": _above,
    "at_chance": _at_chance,
    "about_equal": _about_equal,
    "rises_with": _rises_with,
    "jump_then_plateau": _jump_then_plateau,
}
"""By kind of claim."""
