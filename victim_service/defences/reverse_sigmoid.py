"""`reverse_sigmoid`: rows moved along a curve that has no inverse where the model is sure."""

from typing import Literal

import numpy as np
from pydantic import Field

from victim_service.defences.base import Defence, DefenceContext, DefenceSpec, Probabilities
from victim_service.defences.simplex import Rows, exact, let_lead, pull_near, released

_GUARD = 1e-9
"""Distance from 0 and 1 within which a logit is not taken: our own choice."""


class ReverseSigmoidSpec(DefenceSpec):
    """Answers p - beta (sigmoid(gamma logit(p)) - 1/2), to scale.

    Every label that the model rules out gains up to beta / 2, so that beta must fall as labels are
    added: 2 / K with gamma 0.2 takes rows of K labels as far as the published 0.008 takes 256.
    """

    kind: Literal["reverse_sigmoid"] = "reverse_sigmoid"
    beta: float = Field(gt=0, le=10)
    gamma: float = Field(gt=0, le=100)
    epsilon: float | None = Field(default=None, gt=0, le=2)
    """L1 distance that a row is moved by at most."""
    preserve_argmax: bool = True
    """Whether the most probable label gets the largest entry, in exchange for its own."""

    @property
    def argmax_kept(self) -> bool:
        """As the spec says."""
        return self.preserve_argmax

    @property
    def l1_bound(self) -> float | None:
        """``epsilon``."""
        return self.epsilon

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
        bent = bend(rows, self.spec.beta, self.spec.gamma)
        if self.spec.epsilon is not None:
            bent = pull_near(bent, rows, self.spec.epsilon)
        if not self.spec.preserve_argmax:
            return released(bent)
        return released(let_lead(bent, top), top)


def bend(rows: Rows, beta: float, gamma: float) -> Rows:
    """Return the rows (B, K) of the reverse sigmoid, on the simplex.

    Reference: Lee et al., "Defending Against Neural Network Model Stealing Attacks Using Deceptive
    Perturbations", IEEE Security and Privacy Workshops 2019.
    """
    guarded = np.clip(rows, _GUARD, 1 - _GUARD)
    logits = np.log(guarded) - np.log1p(-guarded)
    bent: Rows = np.maximum(rows - beta * (1 / (1 + np.exp(-gamma * logits)) - 0.5), 0)
    bent /= bent.sum(axis=1, keepdims=True)
    return bent
