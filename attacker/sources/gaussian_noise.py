"""`gaussian_noise` (B4): pure noise, the baseline that knows nothing of speech."""

from typing import Literal

import numpy as np
from pydantic import Field

from attacker.sources.base import Source, SourceContext
from shared.config import Frozen


class GaussianNoiseSpec(Frozen):
    """Sends independent samples of N(0, sigma^2), clipped to [-1, 1]; no corpus is needed.

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", baseline B4.
    """

    kind: Literal["gaussian_noise"] = "gaussian_noise"
    sigma: float = Field(default=0.1, gt=0, le=1)
    """Standard deviation of a sample; the published value is lost, the default is ours."""

    def build(self, context: SourceContext) -> Source:
        """Return the source."""
        return GaussianNoiseSource(context, self)


class GaussianNoiseSource(Source):
    """Clips of white noise."""

    material = "white noise"

    def __init__(self, context: SourceContext, spec: GaussianNoiseSpec) -> None:
        super().__init__(context, "gaussian_noise")
        self.spec = spec

    def make(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """Return the noise of query ``index``."""
        del index
        noise = rng.standard_normal(self.context.clip_samples, dtype=np.float32)
        clipped: np.ndarray = np.clip(noise * np.float32(self.spec.sigma), -1, 1)
        return clipped
