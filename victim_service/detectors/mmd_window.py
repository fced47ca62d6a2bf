"""`mmd_window`: how far a window is from honest clips, in all moments at once."""

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from victim_service.detectors.base import DetectorSpec, Memory, Reference
from victim_service.detectors.stepwise import Arrays, Row, Scale, Stepwise

_SEED = 20_190
_SMALLEST = 1e-6
_TOP = 8
_MOST_CLIPS = 500


class MmdWindowSpec(DetectorSpec):
    """Compares each window with the reference by the maximum mean discrepancy."""

    most: ClassVar[float] = 4.0
    """Features have length 1, so that no two means of them are farther apart than 2."""

    kind: Literal["mmd_window"] = "mmd_window"
    of: Literal["answers", "embeddings"] = "answers"
    """answers: the logs of the eight largest probabilities, largest first, which do not tell the
    speaker: an account that hears one person is not far from everybody. embeddings: as they are."""
    features: int = Field(default=256, ge=16, le=4096)
    """Random frequencies that stand for the kernel; each adds a sine and a cosine."""
    width: float = Field(default=2.0, gt=0, le=100)
    """Of the kernel, in units of the reference's median distance."""

    def build(self, reference: Reference) -> "MmdWindow":
        """Return the detector."""
        return MmdWindow(self, reference)


class MmdWindow(Stepwise):
    """Score: the squared maximum mean discrepancy, from 0, of a Gaussian kernel.

    The kernel is the inner product of random Fourier features, so that the window is one running
    sum, however long it is.

    Reference: Gretton et al., "A Kernel Two-Sample Test", JMLR 2012; Rahimi and Recht, "Random
    Features for Large-Scale Kernel Machines", NIPS 2007.
    """

    def __init__(self, spec: MmdWindowSpec, reference: Reference) -> None:
        super().__init__(spec.window)
        self.of = spec.of
        self.scale = Scale(reference)
        seen = reference.seen
        rows = np.stack(
            [self._row(*row) for row in zip(seen.embeddings, seen.probabilities, strict=True)]
        )
        rng = np.random.default_rng(_SEED)
        some = rows[rng.permutation(len(rows))[:_MOST_CLIPS]].astype(np.float64)
        squares = ((some[:, None] - some[None]) ** 2).sum(axis=2)
        width = spec.width * np.sqrt(np.median(squares[np.triu_indices(len(some), 1)]))
        drawn = rng.normal(0, 1 / max(width, 1e-6), (spec.features, rows.shape[1]))
        self.frequencies = drawn.astype(np.float32)
        self.mean = np.mean([self._features(row) for row in rows], axis=0)

    def begin(self) -> Memory:
        """Return a sum of nothing."""
        return {"sum": np.zeros(len(self.mean), np.float64)}

    def add(self, arrays: Arrays, embedding: Row, probabilities: Row, clip: Row) -> None:
        """Add by how much the clip's features differ from the reference's mean."""
        arrays["sum"] += self._features(self._row(embedding, probabilities)) - self.mean

    def score(self, memory: Memory) -> float:
        """Return the squared length of the mean difference."""
        mean = memory["sum"].astype(np.float64) / self.window
        return float((mean**2).sum())

    def close(self, memory: Memory) -> Memory:
        """Sum anew."""
        return self.begin()

    def _row(self, embedding: Row, probabilities: Row) -> Row:
        if self.of == "embeddings":
            return self.scale(embedding)
        largest = np.sort(probabilities)[::-1][:_TOP]
        row: Row = np.log(np.maximum(largest, np.float32(_SMALLEST)))
        return row

    def _features(self, row: Row) -> npt.NDArray[np.float64]:
        """Return the features (2F,) of a row; their squares sum to 1."""
        angles = (self.frequencies @ row).astype(np.float64)
        waves = np.concatenate([np.cos(angles), np.sin(angles)])
        scaled: npt.NDArray[np.float64] = waves / np.sqrt(len(angles))
        return scaled
