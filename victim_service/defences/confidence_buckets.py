"""`confidence_buckets`: the most probable label, and whether that is sure, likely or a guess."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from victim_service.defences.base import Defence, DefenceContext, DefenceSpec, Form, Probabilities
from victim_service.defences.simplex import released


class ConfidenceBucketsSpec(DefenceSpec):
    """Shows one of three confidences for the most probable label, and the rest spread evenly.

    The bounds and what is shown are our own choice: services that answer in such words publish
    neither.
    """

    needs: ClassVar[Form] = "top"
    gives: ClassVar[Form] = "confidence"

    kind: Literal["confidence_buckets"] = "confidence_buckets"
    mid_from: float = Field(default=0.5, gt=0, lt=1)
    """Probability from which a label is likely."""
    high_from: float = Field(default=0.9, gt=0, le=1)
    """Probability from which it is sure."""
    low: float = Field(default=0.3, gt=0, lt=1)
    """What is shown of a label below ``mid_from``; with fewer than 1 / ``low`` labels, 1 / K."""
    mid: float = Field(default=0.7, gt=0, lt=1)
    """What is shown of a label from there to ``high_from``."""
    high: float = Field(default=0.95, gt=0, le=1)
    """What is shown of a label from ``high_from`` on."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.mid_from <= self.mid < self.high_from <= self.high:
            raise ValueError(
                "what is shown must lie in its own bucket. "
                "Keep low < mid_from <= mid < high_from <= high"
            )
        return self

    @property
    def argmax_kept(self) -> bool:
        """Always."""
        return True

    def build(self) -> "ConfidenceBuckets":
        """Return the defence."""
        return ConfidenceBuckets(self)


class ConfidenceBuckets(Defence):
    """Defence that draws nothing."""

    def __init__(self, spec: ConfidenceBucketsSpec) -> None:
        self.bounds = np.array([spec.mid_from, spec.high_from], dtype=np.float32)
        self.shown = np.array([spec.low, spec.mid, spec.high])

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return rows of two values."""
        del context
        classes = probabilities.shape[1]
        top = probabilities.argmax(axis=1)
        told = self.shown[np.digitize(probabilities.max(axis=1), self.bounds)]
        told = np.maximum(told, 1 / classes)[:, np.newaxis]
        rows = np.repeat((1 - told) / (classes - 1), classes, axis=1)
        np.put_along_axis(rows, top[:, np.newaxis], told, axis=1)
        return released(rows, top)
