"""`seat`: clips that lie close together in the embedding are strikes, as copies of one clip do."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from victim_service.detectors.base import DetectorSpec, Memory, Reference
from victim_service.detectors.stepwise import (
    Arrays,
    Half,
    Row,
    Scale,
    Stepwise,
    a_ring,
    filled,
    push,
)
from victim_service.errors import StartError

REPEAT = 1e-3
"""Scaled distance within which a clip is the same again: it is answered as before, and teaches
nothing."""


class SeatSpec(DetectorSpec):
    """Counts the clips whose nearest earlier clips of the account are closer than a radius."""

    most: ClassVar[float] = 1.0

    kind: Literal["seat"] = "seat"
    kept: int = Field(default=200, ge=8, le=4096)
    """Clips of the account that are remembered."""
    neighbours: int = Field(default=1, ge=1, le=64)
    """Nearest earlier clips, whose mean distance counts."""
    quantile: float = Field(default=0.01, gt=0, lt=1)
    """Share of reference clips that are at least as close to another one as some distance."""
    closeness: float = Field(default=0.25, gt=0, le=10)
    """The radius, in units of that distance."""

    @model_validator(mode="after")
    def _enough_are_kept(self) -> Self:
        if self.neighbours > self.kept:
            raise ValueError(
                f"of {self.kept} clips that are kept none ever has {self.neighbours} neighbours. "
                "Keep neighbours <= kept"
            )
        return self

    def build(self, reference: Reference) -> "Seat":
        """Return the detector; its radius is taken from the reference.

        Raises:
            StartError: the reference has too few clips for as many neighbours.
        """
        return Seat(self, reference)


class Seat(Stepwise):
    """Score: the share of the window's clips that are strikes, from 0 to 1.

    Reference: Zhang, Chen and Wagner, "SEAT: Similarity Encoder by Adversarial Training for
    Detecting Model Extraction Attack Queries", AISec 2021. Ours takes the victim's embedding as it
    is, not one that was trained further, and counts in windows in place of a ban.
    """

    def __init__(self, spec: SeatSpec, reference: Reference) -> None:
        super().__init__(spec.window)
        self.kept, self.neighbours = spec.kept, spec.neighbours
        self.scale = Scale(reference)
        rows = self.scale.reference
        nearest = [self._distance(row, np.delete(rows, n, 0)) for n, row in enumerate(rows)]
        if not np.isfinite(nearest).all():
            raise StartError(
                f"detector seat: among the {len(rows)} clips that were fitted are some without "
                f"{spec.neighbours} neighbours, so that there is no radius. Set fewer "
                "`neighbours`, or run `earshot-victim detectors fit` with more clips."
            )
        self.radius = spec.closeness * float(np.quantile(nearest, spec.quantile))

    def begin(self) -> Memory:
        """Return an empty ring of embeddings and no strikes."""
        size = len(self.scale.mean)
        return a_ring("clips", self.kept, (size,), np.float16) | {"strikes": np.zeros(1, np.int64)}

    def add(self, arrays: Arrays, embedding: Row, probabilities: Row, clip: Row) -> None:
        """Compare the clip with those before it, and remember it."""
        row = self.scale(embedding).astype(np.float16)
        if self._distance(row, filled(arrays, "clips")) <= self.radius:
            arrays["strikes"] += 1
        push(arrays, "clips", row)

    def score(self, memory: Memory) -> float:
        """Return strikes per clip."""
        return float(memory["strikes"][0]) / self.window

    def close(self, memory: Memory) -> Memory:
        """Keep the clips; count anew."""
        return {**memory, "strikes": np.zeros(1, np.int64)}

    def _distance(self, row: Row | Half, others: Row | Half) -> float:
        """Return the mean distance to the nearest others that are no repeats; inf without such."""
        distances = np.sqrt(((others.astype(np.float32) - row) ** 2).sum(axis=1))
        real = np.sort(distances[distances > REPEAT])[: self.neighbours]
        return float(real.mean()) if len(real) == self.neighbours else float("inf")
