"""`coverage`: how much of what the model knows a window of queries touches."""

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from victim_service.detectors.base import DetectorSpec, Memory, Reference
from victim_service.detectors.stepwise import Arrays, Row, Scale, Stepwise

_SEED = 20_231


class CoverageSpec(DetectorSpec):
    """Counts the labels, or the buckets of random hyperplanes, that the latest clips fell into."""

    most: ClassVar[float] = 1.0

    kind: Literal["coverage"] = "coverage"
    over: Literal["labels", "buckets"] = "labels"
    bits: int = Field(default=10, ge=2, le=16)
    """Hyperplanes; there are 2^bits buckets. For ``over: buckets``."""

    @property
    def lowest(self) -> float:
        """That of clips in one cell, of at most as many cells as a window has clips."""
        return 1 / min(self.window, 2**self.bits if self.over == "buckets" else self.window)

    def build(self, reference: Reference) -> "Coverage":
        """Return the detector; its hyperplanes are drawn from the service's secret."""
        return Coverage(self, reference)


class Coverage(Stepwise):
    """Score: cells that are met in a window, as a share of as many as a window can meet, 0 to 1.

    Each cell counts by what it adds: the score is the exponential of the entropy of the window's
    clips over the cells, so that a few stray labels count for little.

    Reference: Dubiński et al., "Bucks for Buckets (B4B): Active Defenses Against Stealing
    Encoders", NeurIPS 2023; there buckets are counted over an account's whole life, which makes
    every account suspect that is used for long enough.
    """

    def __init__(self, spec: CoverageSpec, reference: Reference) -> None:
        super().__init__(spec.window)
        self.scale = Scale(reference)
        self.planes: npt.NDArray[np.float32] | None = None
        self.cells = reference.seen.probabilities.shape[1]
        if spec.over == "buckets":
            seed = int.from_bytes(reference.secret[:16].ljust(16, b"\0"), "big")
            rng = np.random.default_rng([_SEED, seed])
            drawn = rng.normal(size=(spec.bits, len(self.scale.mean)))
            self.planes, self.cells = drawn.astype(np.float32), 2**spec.bits

    def begin(self) -> Memory:
        """Return no clips in any cell."""
        return {"counts": np.zeros(self.cells, np.uint16)}

    def add(self, arrays: Arrays, embedding: Row, probabilities: Row, clip: Row) -> None:
        """Count the clip in its cell."""
        if self.planes is None:
            cell = int(probabilities.argmax())
        else:
            bits = self.planes @ self.scale(embedding) > 0
            cell = int((bits * 2 ** np.arange(len(bits))).sum())
        arrays["counts"][cell] += 1

    def score(self, memory: Memory) -> float:
        """Return the effective number of cells, as a share."""
        counts = memory["counts"].astype(np.float64)
        shares = counts[counts > 0] / self.window
        effective = float(np.exp(-(shares * np.log(shares)).sum()))
        return float(effective / min(self.cells, self.window))

    def close(self, memory: Memory) -> Memory:
        """Count anew."""
        return self.begin()
