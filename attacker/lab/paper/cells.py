"""What single cells of a table came to, as frozen models."""

from typing import Literal

from attacker.lab.results import Estimate, MarkResult
from shared.config import Frozen

State = Literal["done", "failed", "unfinished", "not run"]
AIM = 0.9
"""Part of the victim's accuracy that attacks are asked to reach when they are compared by cost."""


class CellScore(Frozen):
    """What a finished cell came to on the victim's test split."""

    bought: int
    """Clips that the victim answered and charged."""
    kept: int
    coverage: float
    """Share of the K labels that the victim gave to at least one query."""
    refusals: dict[str, int]
    retries: int
    marks: tuple[MarkResult, ...]
    """Its surrogates by their queries, without the recall of each speaker."""
    leads: tuple[Estimate, ...] = ()
    """Of each mark, accuracy less :data:`AIM` of the victim's, paired clip by clip; scores that
    were kept by earlier versions have none."""
    warnings: tuple[str, ...] = ()


class CellResult(Frozen):
    """One seed of a row."""

    seed: int
    folder: str
    """Below the folder that the page is about."""
    state: State
    reason: str = ""
    """Why it is not done, or has no surrogate."""
    took_s: float | None = None
    """Wall time of the start that finished it."""
    bought: int = 0
    score: CellScore | None = None

    @property
    def last(self) -> MarkResult | None:
        """Its surrogate at the most queries, if it has any."""
        return self.score.marks[-1] if self.score and self.score.marks else None
