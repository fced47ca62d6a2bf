"""`modelguard_w`: the rows within an L1 budget that tell a thief least about the model's own.

The best row is the solution of a linear programme, which is filled greedily: mass goes from the
likeliest labels to the least likely ones.
"""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from victim_service.defences.base import Defence, DefenceContext, Probabilities
from victim_service.defences.bounded import BoundedSpec
from victim_service.defences.filling import least_costly
from victim_service.defences.simplex import Rows, exact, released

_LOG_FLOOR = 1e-6


class ModelGuardWSpec(BoundedSpec):
    """Moves each row by an L1 distance of up to ``epsilon``; the top label leads by ``margin``."""

    kind: Literal["modelguard_w"] = "modelguard_w"
    margin: float = Field(default=1e-4, ge=1e-6, lt=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.margin > self.epsilon / 2:
            raise ValueError(
                "equal labels cannot be parted by margin within epsilon. "
                "Keep margin at most epsilon / 2"
            )
        return self

    @property
    def argmax_kept(self) -> bool:
        """Always."""
        return True

    def build(self) -> "ModelGuardW":
        """Return the defence."""
        return ModelGuardW(self.epsilon, self.margin)


class ModelGuardW(Defence):
    """Defence that draws nothing.

    Reference: Tang et al., "ModelGuard: Information-Theoretic Defense Against Model Extraction
    Attacks", USENIX Security 2024 (the variant W).
    """

    def __init__(self, epsilon: float, margin: float) -> None:
        self.epsilon = epsilon
        self.margin = margin

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return the least telling rows."""
        del context
        return released(least_telling(exact(probabilities), self.epsilon, self.margin))


def least_telling(rows: Rows, epsilon: float, margin: float) -> Rows:
    """Return the rows q (B, K) that minimise sum_k q_k log(p_k + 1e-6) for each p of ``rows``.

    q is on the simplex, within an L1 distance of ``epsilon`` of p, and its entry at the first
    largest one of p is above all others by ``margin``.
    """
    order = np.argsort(-rows, axis=1, kind="stable")
    return least_costly(rows, np.log(rows + _LOG_FLOOR), order, epsilon, margin)
