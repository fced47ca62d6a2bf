"""What every known defence is: a map from the model's probabilities to those that are released."""

from abc import ABC, abstractmethod

import numpy as np

from shared.config import Frozen


class KnownDefence(Frozen, ABC):
    """A defence that draws nothing, with all of its settings.

    It treats all labels alike: permuted rows are answered by answers that are permuted likewise.
    """

    kind: str

    @abstractmethod
    def defend(self, rows: np.ndarray) -> np.ndarray:
        """Return what is released for ``rows`` (B, K) float64 of the model, to scale.

        Rows of both sum to 1, as do the answers that they are compared with.
        """


def to_scale(rows: np.ndarray) -> np.ndarray:
    """Return ``rows`` (B, K) >= 0 divided by their sums; a row of zeros becomes an even one."""
    total = rows.sum(axis=1, keepdims=True)
    even = np.full_like(rows, 1 / rows.shape[1])
    scaled: np.ndarray = np.divide(rows, total, out=even, where=total > 0)
    return scaled
