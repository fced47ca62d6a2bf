"""The figures that claims are decided by, row by row and seed by seed, and why a row lacks some."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from attacker.lab.report.words import count
from attacker.tables.claims import VICTIM, Figure

_OF_SURROGATES: tuple[Figure, ...] = ("accuracy", "fidelity")
_Z95 = 1.959964


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
    untrained: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By row id, the answers kept of each finished seed that has no surrogate."""

    def of(self, row: str, figure: Figure) -> Mapping[int, float]:
        """Return the figure of ``row`` by seed."""
        return self.figures.get(row, {}).get(figure, {})

    def gap(self, row: str, figure: Figure) -> str:
        """Say why ``row`` has no interval of ``figure``; empty where it has one.

        An interval takes two seeds. A cell may have finished without a surrogate, which is no cell
        that has not finished.
        """
        have = len(self.of(row, figure))
        if row == VICTIM or have > 1:
            return ""
        kept = self.untrained.get(row, ()) if figure in _OF_SURROGATES else ()
        if not kept:
            return "one seed has finished" if have else "no seed has finished"
        told = f"no surrogate was trained: {_kept(kept)}"
        return f"of all seeds but one {told}" if have else told

    @property
    def chance(self) -> float:
        """Accuracy of a guess: one label in K."""
        return 1 / self.n_classes

    @property
    def highest_guess(self) -> float:
        """Accuracy that a guess reaches at most on 97.5 % of test splits of this size."""
        return self.chance + _Z95 * math.sqrt(self.chance * (1 - self.chance) / self.test_clips)


def tell_gaps(gaps: Mapping[str, str]) -> str:
    """Return why rows have no interval, each reason once with the rows that it is true of."""
    reasons: dict[str, list[str]] = {}
    for row, why in gaps.items():
        reasons.setdefault(why, []).append(row)
    return "; ".join(f"{why} ({', '.join(rows)})" for why, rows in reasons.items())


def _kept(answers: tuple[int, ...]) -> str:
    least, most = min(answers), max(answers)
    among = "" if least == most else f"{least:,} to "
    return f"{among}{count(most, 'answer')} kept"
