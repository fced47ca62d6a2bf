"""A cap on speakers: an account is told of the first few that it meets, and of no others.

An honest user asks for a few voices again and again; a thief needs every label.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from shared.config import Frozen
from victim_service.account_state import AccountState

Probabilities = npt.NDArray[np.float32]


class SpeakerCap(Frozen):
    """Tells an account of ``speakers`` labels: the top ones of its first answers.

    Beyond them, ``uniform`` answers every label alike, and ``told`` the labels that were told
    already, in the model's proportions, as if there were no others.
    """

    model_config = ConfigDict(strict=True)

    speakers: int = Field(ge=1, le=2**20)
    beyond: Literal["uniform", "told"] = "uniform"

    def apply(self, probabilities: Probabilities, state: AccountState) -> Probabilities:
        """Return the rows (B, K), those beyond the cap replaced; the clips count in their order."""
        within, told = self._meet(probabilities, state)
        if within.all():
            return probabilities
        classes = probabilities.shape[1]
        known = np.zeros(classes, bool)
        known[[label for label in told if label < classes]] = True
        rows = probabilities.copy()
        if self.beyond == "uniform":
            rows[~within] = np.float32(1 / classes)
            return rows
        kept = np.where(known, probabilities[~within].astype(np.float64), 0.0)
        sums = kept.sum(axis=1, keepdims=True)
        even = known / known.sum()  # where the model gives none of them anything
        rows[~within] = np.where(sums > 0, kept / np.where(sums > 0, sums, 1), even)
        return rows

    def next_state(self, state: AccountState, probabilities: Probabilities) -> AccountState:
        """Return ``state`` after answers to B clips, given the model's rows (B, K)."""
        _, told = self._meet(probabilities, state)
        return state.model_copy(update={"speakers": _text(told)})

    def _meet(
        self, probabilities: Probabilities, state: AccountState
    ) -> tuple[npt.NDArray[np.bool_], set[int]]:
        """Return which rows (B,) tell of a speaker within the cap, and all that are told then."""
        told = _labels(state.speakers)
        within = np.zeros(len(probabilities), bool)
        for place, label in enumerate(probabilities.argmax(axis=1).tolist()):
            if label in told or len(told) < self.speakers:
                told.add(label)
                within[place] = True
        return within, told


def _labels(text: str) -> set[int]:
    bits = int(text or "0", 16)
    return {label for label in range(bits.bit_length()) if bits >> label & 1}


def _text(labels: set[int]) -> str:
    return f"{sum(1 << label for label in labels):x}" if labels else ""
