"""`reverse_sigmoid`: rows moved along a curve that has no inverse where the model is sure."""

from typing import Literal

import numpy as np
from pydantic import Field

from victim_service.defences.base import Defence, DefenceContext, Probabilities
from victim_service.defences.bounded import HeldSpec
from victim_service.defences.simplex import Rows, exact

_GUARD = 1e-9
"""Distance from 0 and 1 within which a logit is not taken: our own choice."""
_LARGEST = 700.0
"""e to this is still a float64; the sigmoid there is 0 already, next to the 1/2 that it loses."""


class ReverseSigmoidSpec(HeldSpec):
    """Answers p - beta (sigmoid(gamma logit(p)) - 1/2), to scale.

    Every label that the model rules out gains up to beta / 2, so that beta must fall as labels are
    added: 2 / K with gamma 0.2 takes rows of K labels as far as the published 0.008 takes 256.
    """

    kind: Literal["reverse_sigmoid"] = "reverse_sigmoid"
    beta: float = Field(gt=0, le=10)
    gamma: float = Field(gt=0, le=100)
    preserve_argmax: bool = True

    def build(self) -> "ReverseSigmoid":
        """Return the defence."""
        return ReverseSigmoid(self)


class ReverseSigmoid(Defence):
    """Defence that draws nothing."""

    def __init__(self, spec: ReverseSigmoidSpec) -> None:
        self.spec = spec

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return the bent rows."""
        del context
        rows, top = exact(probabilities), probabilities.argmax(axis=1)
        return self.spec.hold(bend(rows, self.spec.beta, self.spec.gamma), rows, top)


def bend(rows: Rows, beta: float, gamma: float) -> Rows:
    """Return the rows (B, K) of the reverse sigmoid, on the simplex.

    Reference: Lee et al., "Defending Against Neural Network Model Stealing Attacks Using Deceptive
    Perturbations", IEEE Security and Privacy Workshops 2019.
    """
    guarded = np.clip(rows, _GUARD, 1 - _GUARD)
    logits = np.log(guarded) - np.log1p(-guarded)
    powers = np.exp(np.minimum(-gamma * logits, _LARGEST))
    bent: Rows = np.maximum(rows - beta * (1 / (1 + powers) - 0.5), 0)
    bent /= bent.sum(axis=1, keepdims=True)
    return bent
