"""`average`: the mean answer over the copies of a window."""

from typing import ClassVar, Literal

import numpy as np

from attacker.adaptive.base import Adaption, AdaptionContext, AdaptionSpec
from attacker.adaptive.groups import shared_mean
from shared.contract import LabelMode


class AverageSpec(AdaptionSpec):
    """Trains every copy of a window on the mean of the answers to all copies that were kept.

    Reference: the smoothing attack of Tang et al., "ModelGuard", USENIX Security 2024.
    """

    takes: ClassVar[tuple[LabelMode, ...]] = ("soft", "top_k", "rounded", "temperature")
    needs_copies: ClassVar[bool] = True

    kind: Literal["average"] = "average"

    def build(self, context: AdaptionContext) -> Adaption:
        """Return the adaption.

        Raises:
            ExperimentError: the source sends no copies.
        """
        return Average(context.demand_groups(self.kind))


class Average(Adaption):
    """Adaption that draws nothing."""

    def __init__(self, groups: np.ndarray) -> None:
        self.groups = groups

    def adapt(self, answers: np.ndarray) -> np.ndarray:
        """Return the mean rows (N, K)."""
        return shared_mean(answers, self.groups).astype(np.float32)
