"""`deceptive_labels`: near a decision boundary, the label is one of the leading ones by a draw."""

import math
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from victim_service.defences.base import Defence, DefenceContext, DefenceSpec, Form, Probabilities
from victim_service.defences.simplex import one_hot


class DeceptiveLabelsSpec(DefenceSpec):
    """Answers one-hot rows; within ``delta`` of a boundary, by randomised response."""

    needs: ClassVar[Form] = "coarse"
    gives: ClassVar[Form] = "label"
    draws: ClassVar[bool] = True

    kind: Literal["deceptive_labels"] = "deceptive_labels"
    delta: float = Field(gt=0, le=1)
    """A clip is near a boundary where its two largest probabilities differ by less."""
    privacy: float = Field(ge=0.01, le=20)
    """Epsilon of the randomised response, in nats: e^privacy is how much likelier the model's own
    label is than any other one. It is not a distance."""
    labels: int = Field(default=2, ge=2, le=2**31)
    """How many of the leading labels the response is drawn from."""

    def build(self) -> "DeceptiveLabels":
        """Return the defence."""
        return DeceptiveLabels(self.delta, self.privacy, self.labels)


class DeceptiveLabels(Defence):
    """Defence whose draws belong to account and clip: a repeated question has one answer.

    Reference: Zheng et al., "BDPL: A Boundary Differentially Private Layer Against Machine Learning
    Model Extraction Attacks", ESORICS 2019 (the layer, with the margin as the distance to a
    boundary: our own choice); Kairouz, Oh and Viswanath, "Extremal Mechanisms for Local
    Differential Privacy", NIPS 2014 (the response among more than two).
    """

    def __init__(self, delta: float, privacy: float, labels: int) -> None:
        self.delta = delta
        self.privacy = privacy
        self.labels = labels

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return one-hot rows."""
        classes = probabilities.shape[1]
        labels = probabilities.argmax(axis=1)
        lesser, larger = np.partition(probabilities, classes - 2, axis=1)[:, -2:].T
        for clip in np.flatnonzero(larger - lesser < self.delta):
            leading = np.argsort(-probabilities[clip], kind="stable")[: self.labels]
            rng = context.rng(int(clip))
            if rng.random() < flip_rate(self.privacy, len(leading)):
                labels[clip] = leading[rng.integers(1, len(leading))]
        return one_hot(labels, classes)


def flip_rate(privacy: float, labels: int) -> float:
    """Return how often the response among ``labels`` is not the model's own label."""
    return (labels - 1) / (math.exp(privacy) + labels - 1)
