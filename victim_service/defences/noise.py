"""`noise`: random rows around the model's own, drawn once for each clip of each account."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from victim_service.defences.base import Defence, DefenceContext, Probabilities
from victim_service.defences.bounded import HeldSpec
from victim_service.defences.simplex import Rows, exact, project, softmax

_MOST_DIRICHLET = 0.7


class NoiseSpec(HeldSpec):
    """Adds noise to probabilities or to logits, and brings the rows back to the simplex."""

    repeats: ClassVar[bool] = True
    draws: ClassVar[bool] = True

    kind: Literal["noise"] = "noise"
    distribution: Literal["gaussian", "uniform", "dirichlet"] = "gaussian"
    added_to: Literal["probabilities", "logits"] = "probabilities"
    scale: float = Field(gt=0, le=10)
    """gaussian: standard deviation; uniform: half the width; dirichlet: the standard deviation of
    an entry p is scale x sqrt(p (1 - p)), and its mean p."""
    preserve_argmax: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.distribution != "dirichlet":
            return self
        if self.added_to == "logits":
            raise ValueError(
                "dirichlet draws probabilities, not logits. Set `added_to: probabilities`, or "
                "draw gaussian noise"
            )
        if self.scale > _MOST_DIRICHLET:
            raise ValueError(
                f"a dirichlet scale above {_MOST_DIRICHLET} leaves little but one-hot rows. "
                "Choose a smaller scale"
            )
        return self

    def build(self) -> "Noise":
        """Return the defence."""
        return Noise(self)


class Noise(Defence):
    """Defence whose draws belong to account and clip: asking again averages nothing."""

    def __init__(self, spec: NoiseSpec) -> None:
        self.spec = spec

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return the rows with their noise."""
        rows, top = exact(probabilities), probabilities.argmax(axis=1)
        return self.spec.hold(self._noisy(rows, context), rows, top)

    def _noisy(self, rows: Rows, context: DefenceContext) -> Rows:
        drawn = np.stack([self._draw(row, context.rng(n)) for n, row in enumerate(rows)])
        if self.spec.distribution == "dirichlet":
            drawn /= drawn.sum(axis=1, keepdims=True)
            return drawn
        if self.spec.added_to == "probabilities":
            return project(rows + drawn)
        with np.errstate(divide="ignore"):  # what the model rules out stays ruled out
            return softmax(np.log(rows) + drawn)

    def _draw(self, row: Rows, rng: np.random.Generator) -> Rows:
        scale = self.spec.scale
        if self.spec.distribution == "gaussian":
            return rng.normal(0, scale, len(row))
        if self.spec.distribution == "uniform":
            return rng.uniform(-scale, scale, len(row))
        # Of a Dirichlet row with parameters c p, Var = p (1 - p) / (c + 1).
        return rng.standard_gamma((1 / scale**2 - 1) * row)
