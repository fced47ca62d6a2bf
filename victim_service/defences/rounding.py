"""`rounding`: probabilities with a few decimals, rows that still sum to 1."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from victim_service.defences.base import Defence, DefenceContext, DefenceSpec, Form, Probabilities
from victim_service.defences.simplex import Rows, apportion


class RoundingSpec(DefenceSpec):
    """Rounds each row to ``decimals`` decimals."""

    needs: ClassVar[Form] = "top"
    gives: ClassVar[Form] = "coarse"

    kind: Literal["rounding"] = "rounding"
    decimals: int = Field(ge=1, le=6)

    @property
    def argmax_kept(self) -> bool:
        """Always."""
        return True

    def build(self) -> "Rounding":
        """Return the defence."""
        return Rounding(self.decimals)


class Rounding(Defence):
    """Defence that draws nothing and keeps the most probable label."""

    def __init__(self, decimals: int) -> None:
        self.decimals = decimals

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return the rounded rows."""
        del context
        return round_rows(probabilities, self.decimals)


def round_rows(probabilities: Probabilities, decimals: int) -> Probabilities:
    """Return rows (B, K) of multiples of 10^-decimals that sum to 1.

    Every entry is off by less than one unit of the last decimal. The one exception is a most
    probable label that would tie with another: it is shown one unit above the others, which may
    put it nearly two units off, so that whoever reads the row finds the label that the model meant.
    """
    units = 10**decimals
    whole, exact = apportion(probabilities.astype(np.float64), units)
    _part_ties(whole, exact)
    rounded: Probabilities = (whole / units).astype(np.float32)
    return rounded


def _part_ties(whole: Rows, exact: Rows) -> None:
    """Where a less probable label reached the top one, move a unit to the top one, in place."""
    rows = np.arange(len(whole))
    top = exact.argmax(axis=1)
    reached = whole >= whole[rows, top][:, np.newaxis]
    tied = (reached & (exact < exact[rows, top][:, np.newaxis])).any(axis=1)
    # Of those that were rounded up, the one that had the smallest claim to it gives the unit.
    given = whole > exact
    given[rows, top] = False
    giver = np.where(given, exact - np.floor(exact), np.inf).argmin(axis=1)
    moved = rows[tied & given.any(axis=1)]
    whole[moved, giver[moved]] -= 1
    whole[moved, top[moved]] += 1
