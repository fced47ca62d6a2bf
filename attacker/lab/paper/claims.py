"""Decides the trends that the tables state, each by the intervals alone and by a rule fixed before.

A trend holds where the intervals show it, does not hold where they show that it is not so, and is
not decided where they are too wide for either, or where too few seeds have finished. The rules are
in words in :data:`RULES`, which the page prints.
"""

from collections.abc import Sequence

from attacker.lab.paper.compare import Evidence, Verdict
from attacker.lab.paper.deciders import DECIDERS
from attacker.lab.paper.sheet import Sheet, tell_gaps
from attacker.tables.claims import Claim, Figure
from shared.config import Frozen

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
        "to fall, and it does not hold. It cannot hold while a row has fewer than two seeds. "
        "Nothing is decided where the rows themselves do not rise in what the figure should rise "
        "with."
    ),
    "jump_then_plateau": (
        "The first step has an interval above zero, and every later row stays, up and down, within "
        "half of that step of the row after it; paired by seed. So no later step is as large as "
        "the first. A first step at or below zero, or a later row shown to leave, and it does not "
        "hold."
    ),
}
"""By kind of claim, when it holds and when not."""


class Decision(Frozen):
    """A claim, and what the intervals say of it."""

    kind: str
    text: str
    figure: Figure
    ours: bool = False
    """Whether the claim is our own, and the paper does not make it."""
    verdict: Verdict
    reason: str
    """Why it is not decided, where something other than an interval's width is the cause."""
    evidence: tuple[Evidence, ...]


def decide(claim: Claim, sheet: Sheet) -> Decision:
    """Say whether the intervals of ``sheet`` bear ``claim`` out."""
    evidence, reason = DECIDERS[claim.kind](claim, sheet)
    gaps = {row: why for item in evidence for row, why in item.gaps.items()}
    return Decision(
        kind=claim.kind,
        text=claim.text,
        figure=claim.figure,
        ours=claim.ours,
        verdict="not decided" if reason else combine([item.verdict for item in evidence]),
        reason=reason or tell_gaps(gaps),
        evidence=tuple(evidence),
    )


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """Return what several comparisons say together, all of which must hold."""
    if "does not hold" in verdicts:
        return "does not hold"
    return "holds" if verdicts and set(verdicts) == {"holds"} else "not decided"
