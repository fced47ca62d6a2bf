"""`static_threshold`: at most tau answers of each label."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from attacker.samplers.base import Sampler, SamplerContext
from shared.config import Frozen

Tau = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""A cap. Far above any budget it caps nothing, and further on it is no integer of a machine."""


class StaticThresholdSpec(Frozen):
    """Keeps the first tau answers of each label, and discards the surplus.

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", section 5.
    """

    kind: Literal["static_threshold"] = "static_threshold"
    tau: Tau
    """T_i = tau for every label i. The published values are lost: 100, 300 and 500 are ours."""

    def build(self, context: SamplerContext) -> Sampler:
        """Return the sampler."""
        return StaticThreshold(context, self)


class StaticThreshold(Sampler):
    """Sampler with one cap for all labels."""

    def __init__(self, context: SamplerContext, spec: StaticThresholdSpec) -> None:
        self.spec = spec
        super().__init__(context)

    def choose_caps(self, context: SamplerContext) -> np.ndarray:
        """Return tau for every label, (K,)."""
        return np.full(context.n_classes, self.spec.tau)
