"""What the adaptions have in common that guess what the model had said, of a known defence."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from attacker.adaptive.base import Adaption, AdaptionSpec
from attacker.adaptive.dirichlet import Concentration, descending
from attacker.adaptive.groups import mean_of_ties
from attacker.known_defences import KnownDefence
from shared.contract import LabelMode


class UndoingSpec(AdaptionSpec):
    """Base of the specs that draw rows, and look what the known defence makes of them."""

    takes: ClassVar[tuple[LabelMode, ...]] = ("soft", "rounded", "temperature")
    needs_defence: ClassVar[bool] = True

    concentration: Concentration = (0.1, 30.0)
    """Range of the sum of the Dirichlet parameters of the draws, log-uniform."""


class Undoing(Adaption):
    """Guesses the clean row of each answer, whose labels are put in descending order for it."""

    def __init__(self, known: KnownDefence, seed: int) -> None:
        self.known, self.seed = known, seed

    @abstractmethod
    def guess(self, ordered: np.ndarray) -> np.ndarray:
        """Return the guessed rows (N, K) float64 of descending answers (N, K) float64."""

    def adapt(self, answers: np.ndarray) -> np.ndarray:
        """Return the guessed rows (N, K)."""
        order = descending(answers)
        ordered = np.take_along_axis(answers, order, axis=1).astype(np.float64)
        rows = np.empty_like(ordered)
        np.put_along_axis(rows, order, mean_of_ties(self.guess(ordered), ordered), axis=1)
        targets: np.ndarray = rows.astype(np.float32)
        return targets
