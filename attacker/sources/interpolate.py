"""`interpolate` (B3): mixtures of random pairs of proxy windows."""

from typing import Literal

import numpy as np
from pydantic import Field

from attacker.sources.base import Source, SourceContext
from attacker.sources.walk import ProxyWalk
from shared.config import Frozen


class InterpolateSpec(Frozen):
    """Sends lambda x + (1 - lambda) y of two windows, lambda ~ Beta(beta, beta).

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", baseline B3,
    after mixup (Zhang et al., 2018).
    """

    kind: Literal["interpolate"] = "interpolate"
    beta: float = Field(default=1.0, gt=0, le=100)
    """Both parameters of the Beta distribution; 1 makes lambda uniform in [0, 1]."""

    def build(self, context: SourceContext) -> Source:
        """Return the source."""
        return InterpolateSource(context, self)


class InterpolateSource(Source):
    """Mixtures of windows of the proxy corpus; query q mixes the walk's steps 2q and 2q + 1."""

    def __init__(self, context: SourceContext, spec: InterpolateSpec) -> None:
        super().__init__(context, "interpolate")
        self.spec = spec
        self.walk = ProxyWalk(context)
        self.material = self.walk.material

    def make(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """Return the mixture of query ``index``."""
        share = np.float32(rng.beta(self.spec.beta, self.spec.beta))
        first, second = self.walk.window(2 * index), self.walk.window(2 * index + 1)
        return share * first + (1 - share) * second
