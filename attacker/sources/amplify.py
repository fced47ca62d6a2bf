"""`amplify` (B1): proxy windows, made louder or quieter at random."""

from typing import Literal

import numpy as np
from pydantic import Field

from attacker.sources.base import Source, SourceContext
from attacker.sources.walk import ProxyWalk
from shared.config import Frozen


class AmplifySpec(Frozen):
    """With probability p multiplies a window by a, log-uniform in [1/A, A], clipped to [-1, 1].

    The range is ours: the published p and A are lost. A victim with ``normalise: rms`` hears no
    difference but the clipping.

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", baseline B1.
    """

    kind: Literal["amplify"] = "amplify"
    probability: float = Field(default=1.0, ge=0, le=1)
    """p: share of windows that are amplified."""
    max_gain: float = Field(default=5.0, ge=1, le=1000)
    """A: the largest factor, and one over the smallest."""

    def build(self, context: SourceContext) -> Source:
        """Return the source."""
        return AmplifySource(context, self)


class AmplifySource(Source):
    """Amplified windows of the proxy corpus."""

    def __init__(self, context: SourceContext, spec: AmplifySpec) -> None:
        super().__init__(context, "amplify")
        self.spec = spec
        self.walk = ProxyWalk(context)
        self.material = self.walk.material

    def make(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """Return the window of query ``index``, amplified or not."""
        amplified = rng.random() < self.spec.probability
        reach = np.log(self.spec.max_gain)
        gain = np.exp(rng.uniform(-reach, reach)) if amplified else 1.0
        return np.clip(self.walk.window(index) * np.float32(gain), -1, 1)
