"""`rounding`: probabilities with a few decimals."""

from typing import Literal

import numpy as np
from pydantic import Field

from attacker.known_defences.base import KnownDefence, to_scale


class KnownRounding(KnownDefence):
    """Each probability is rounded to ``decimals`` decimals.

    A victim that mends its rows so that they sum to 1 shows some entries a unit of the last decimal
    away from this; a tolerance of a unit or two covers it.
    """

    kind: Literal["rounding"] = "rounding"
    decimals: int = Field(ge=1, le=6)

    def defend(self, rows: np.ndarray) -> np.ndarray:
        """Return the rounded rows; even ones where every entry was rounded to 0."""
        return to_scale(np.round(rows, self.decimals))
