"""`prada`: distances between an account's queries of one label that look drawn by a rule."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from victim_service.detectors.base import DetectorSpec, Memory, Reference
from victim_service.detectors.shapiro import FEWEST, MOST, shapiro_wilk
from victim_service.detectors.stepwise import (
    Arrays,
    Half,
    Repeats,
    Row,
    Scale,
    Stepwise,
    a_ring,
    filled,
    push,
)

_ALONE = np.float32(-1)
"""Stands for the distance of the first clip of a label, which has none."""


class PradaSpec(DetectorSpec):
    """Tests whether each clip's distance to the nearest earlier one of its label looks normal."""

    most: ClassVar[float] = 1.0

    kind: Literal["prada"] = "prada"
    kept: int = Field(default=256, ge=16, le=4096)
    """Clips that stand for their labels, over all labels; the oldest leave."""
    distances: int = Field(default=200, ge=FEWEST, le=MOST)
    """Latest distances that are tested."""
    least: int = Field(default=40, ge=FEWEST, le=MOST)
    """Distances, after leaving out outliers, below which the score is 0. Published: 100."""

    @model_validator(mode="after")
    def _enough_are_kept(self) -> Self:
        if self.least > self.distances:
            raise ValueError(
                f"of {self.distances} distances there are never the {self.least} that a score "
                "needs. Keep least <= distances"
            )
        return self

    def build(self, reference: Reference) -> "Prada":
        """Return the detector."""
        return Prada(self, reference)


class Prada(Stepwise):
    """Score: 1 - W of Shapiro and Wilk over the latest distances, from 0 to 1.

    A clip joins those that stand for its label if it is farther from them than the label's
    threshold, which is the largest "mean less standard deviation" of their distances so far.

    Reference: Juuti et al., "PRADA: Protecting against DNN Model Stealing Attacks", EuroS&P 2019;
    there the distances are between inputs, here between embeddings, and a clip that comes again
    counts once: it teaches nothing, and monitoring bots do it all day.
    """

    def __init__(self, spec: PradaSpec, reference: Reference) -> None:
        super().__init__(spec.window)
        self.kept, self.distances, self.least = spec.kept, spec.distances, spec.least
        self.scale = Scale(reference)
        self.repeats = Repeats(reference.secret, spec.kept)
        self.classes = reference.seen.probabilities.shape[1]

    def begin(self) -> Memory:
        """Return no clips, no distances, and thresholds of 0."""
        return (
            a_ring("clips", self.kept, (len(self.scale.mean),), np.float16)
            | a_ring("labels", self.kept, (), np.int32)
            | a_ring("apart", self.kept, (), np.float32)
            | self.repeats.begin()
            | a_ring("distances", self.distances, (), np.float32)
            | {"thresholds": np.zeros(self.classes, np.float32)}
        )

    def add(self, arrays: Arrays, embedding: Row, probabilities: Row, clip: Row) -> None:
        """Note the clip's distance, and let it stand for its label if it is far enough."""
        if not self.repeats.is_new(arrays, clip):
            return
        row, label = self.scale(embedding).astype(np.float16), int(probabilities.argmax())
        same = filled(arrays, "labels") == label
        if not same.any():
            self._join(arrays, row, label, _ALONE)
            return
        others = filled(arrays, "clips")[same].astype(np.float32)
        distance = np.float32(np.sqrt(((others - row) ** 2).sum(axis=1).min()))
        push(arrays, "distances", distance)
        if distance > arrays["thresholds"][label]:
            self._join(arrays, row, label, distance)
            apart = filled(arrays, "apart")[filled(arrays, "labels") == label]
            apart = apart[apart >= 0].astype(np.float64)
            if len(apart):
                lowest = np.float32(apart.mean() - apart.std())
                arrays["thresholds"][label] = max(arrays["thresholds"][label], lowest)

    @staticmethod
    def _join(arrays: Arrays, row: Half, label: int, distance: np.float32) -> None:
        push(arrays, "clips", row)
        push(arrays, "labels", label)
        push(arrays, "apart", distance)

    def score(self, memory: Memory) -> float:
        """Return how far from normal the distances are; 0 while there are too few."""
        found = filled(memory, "distances").astype(np.float64)
        if len(found) >= self.least:
            found = found[np.abs(found - found.mean()) <= 3 * found.std()]
        return 1 - shapiro_wilk(found) if len(found) >= self.least else 0.0
