"""`top1`: nothing but the label that the victim ranks first."""

from typing import ClassVar, Literal

import numpy as np

from attacker.adaptive.base import Adaption, AdaptionContext, AdaptionSpec
from shared.clip_source import most_probable


class Top1Spec(AdaptionSpec):
    """Trains on the most probable label alone: what moves the other probabilities is lost on it."""

    gives_labels: ClassVar[bool] = True

    kind: Literal["top1"] = "top1"

    def build(self, context: AdaptionContext) -> Adaption:
        """Return the adaption."""
        del context
        return Top1()


class Top1(Adaption):
    """Adaption that draws nothing."""

    def adapt(self, answers: np.ndarray) -> np.ndarray:
        """Return the labels (N,); of equal probabilities the smallest label."""
        return most_probable(answers)
