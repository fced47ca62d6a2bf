"""`dynamic_threshold`: at most alpha times the victim's own training clips of each label."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from attacker.samplers.base import Sampler, SamplerContext
from shared.config import Frozen

Alpha = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
"""A scale of caps. Far above any budget a cap caps nothing, and further on it is no integer."""


class DynamicThresholdSpec(Frozen):
    """Keeps answers in the proportions of the victim's training split (assumption A3).

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", section 5.
    """

    kind: Literal["dynamic_threshold"] = "dynamic_threshold"
    alpha: Alpha
    """T_i = ceil(alpha * c_i). The published values are lost: 1 and 5 are ours."""

    def build(self, context: SamplerContext) -> Sampler:
        """Return the sampler.

        Raises:
            KnowledgeMissing: the experiment does not grant the class counts.
        """
        return DynamicThreshold(context, self)


class DynamicThreshold(Sampler):
    """Sampler with caps in proportion to the class counts c_i."""

    def __init__(self, context: SamplerContext, spec: DynamicThresholdSpec) -> None:
        self.spec = spec
        super().__init__(context)

    def choose_caps(self, context: SamplerContext) -> np.ndarray:
        """Return ceil(alpha * c_i), (K,)."""
        counts = context.granted_class_counts("the sampler dynamic_threshold")
        # 1.1 * 50 is a little above 55 in binary; that little must not cost a clip.
        caps: np.ndarray = np.ceil(self.spec.alpha * counts - 1e-9).astype(np.int64)
        # Nor may it cost the one clip that the smallest alpha asks for.
        least: np.ndarray = np.maximum(caps, np.sign(counts))
        return least
