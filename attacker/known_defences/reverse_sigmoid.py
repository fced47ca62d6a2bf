"""`reverse_sigmoid`: the published curve, without anything that a victim does beside it."""

from typing import Literal

import numpy as np
from pydantic import Field

from attacker.known_defences.base import KnownDefence, to_scale

_EDGE = 1e-9  # where a probability of 0 or 1 is taken to lie; its logit would be infinite


class KnownReverseSigmoid(KnownDefence):
    """Rows are proportional to max(0, p - beta (sigmoid(gamma logit(p)) - 1/2)).

    A bound on the distance, or a label that is made to lead, is not part of this model.

    Reference: Lee et al., "Defending Against Neural Network Model Stealing Attacks Using Deceptive
    Perturbations", IEEE Security and Privacy Workshops 2019.
    """

    kind: Literal["reverse_sigmoid"] = "reverse_sigmoid"
    beta: float = Field(gt=0, le=10)
    gamma: float = Field(gt=0, le=100)

    def defend(self, rows: np.ndarray) -> np.ndarray:
        """Return the bent rows."""
        inside = np.clip(rows, _EDGE, 1 - _EDGE)
        # sigmoid(gamma logit(p)) = p^gamma / (p^gamma + (1 - p)^gamma), here over p^gamma.
        with np.errstate(over="ignore"):  # 1 / inf is the limit
            bent = 1 / (1 + (1 / inside - 1) ** self.gamma)
        return to_scale(np.maximum(rows - self.beta * (bent - 0.5), 0))
