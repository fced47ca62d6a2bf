"""`majority`: the label that most copies of a window were given."""

from typing import ClassVar, Literal

import numpy as np

from attacker.adaptive.base import Adaption, AdaptionContext, AdaptionSpec
from attacker.adaptive.groups import shared_mean
from shared.clip_source import most_probable


class MajoritySpec(AdaptionSpec):
    """Trains every copy of a window on the label that most of the kept copies were answered.

    Of labels with as many votes the one with the larger mean probability wins, then the smaller.
    """

    gives_labels: ClassVar[bool] = True
    needs_copies: ClassVar[bool] = True

    kind: Literal["majority"] = "majority"

    def build(self, context: AdaptionContext) -> Adaption:
        """Return the adaption.

        Raises:
            ExperimentError: the source sends no copies.
        """
        return Majority(context.demand_groups(self.kind))


class Majority(Adaption):
    """Adaption that draws nothing."""

    def __init__(self, groups: np.ndarray) -> None:
        self.groups = groups

    def adapt(self, answers: np.ndarray) -> np.ndarray:
        """Return the labels (N,)."""
        votes = np.zeros(answers.shape, dtype=np.float32)
        np.put_along_axis(votes, most_probable(answers)[:, np.newaxis], 1, axis=1)
        shares = shared_mean(votes, self.groups)
        probable = shared_mean(answers, self.groups)
        # In float64 the shares of as many votes are equal to the bit: all have one divisor.
        winners = shares == shares.max(axis=1, keepdims=True)
        return most_probable(np.where(winners, probable, -1))
