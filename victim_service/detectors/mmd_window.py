"""`mmd_window`: how far a window of embeddings is from honest clips, all moments together."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from victim_service.detectors.base import DetectorSpec, Memory, Reference
from victim_service.detectors.stepwise import Arrays, Row, Scale, Stepwise

_SEED = 20_190


class MmdWindowSpec(DetectorSpec):
    """Compares each window with the reference by the maximum mean discrepancy."""

    kind: Literal["mmd_window"] = "mmd_window"
    features: int = Field(default=256, ge=16, le=4096)
    """Random frequencies that stand for the kernel; each adds a sine and a cosine."""
    given: Literal["label", "nothing"] = "label"
    """label: a clip is compared with reference clips of the label that the model gives it, so that
    an account that hears one speaker is not far from everybody. nothing: with all of them."""

    def build(self, reference: Reference) -> "MmdWindow":
        """Return the detector; the kernel's width is the reference's median distance."""
        return MmdWindow(self, reference)


class MmdWindow(Stepwise):
    """Score: the squared maximum mean discrepancy, from 0, of a Gaussian kernel.

    The kernel is the inner product of random Fourier features, so that the window is one running
    sum, however long it is.

    Reference: Gretton et al., "A Kernel Two-Sample Test", JMLR 2012; Rahimi and Recht, "Random
    Features for Large-Scale Kernel Machines", NIPS 2007. The pairing by label is our own.
    """

    def __init__(self, spec: MmdWindowSpec, reference: Reference) -> None:
        super().__init__(spec.window)
        self.scale = Scale(reference)
        rows = self.scale.reference
        rng = np.random.default_rng(_SEED)
        some = rows[rng.permutation(len(rows))[:500]].astype(np.float64)
        squares = ((some[:, None] - some[None]) ** 2).sum(axis=2)
        width = np.sqrt(np.median(squares[np.triu_indices(len(some), 1)]) or 1.0)
        drawn = rng.normal(0, 1 / width, (spec.features, rows.shape[1]))
        self.frequencies = drawn.astype(np.float32)
        mapped = np.stack([self.feature(row) for row in rows])
        classes = reference.seen.probabilities.shape[1]
        self.means = np.broadcast_to(mapped.mean(axis=0), (classes, mapped.shape[1]))
        if spec.given == "label":
            self.means = self.means.copy()
            told = reference.seen.probabilities.argmax(axis=1)
            for label in np.unique(told):
                self.means[label] = mapped[told == label].mean(axis=0)

    def feature(self, row: Row) -> npt.NDArray[np.float64]:
        """Return the features (2F,) of a scaled embedding (E,); their squares sum to 1."""
        angles = (self.frequencies @ row).astype(np.float64)
        waves = np.concatenate([np.cos(angles), np.sin(angles)])
        scaled: npt.NDArray[np.float64] = waves / np.sqrt(len(angles))
        return scaled

    def begin(self) -> Memory:
        """Return a sum of nothing."""
        return {"sum": np.zeros(self.means.shape[1], np.float64)}

    def add(self, arrays: Arrays, embedding: Row, probabilities: Row, clip: Row) -> None:
        """Add by how much the clip's features differ from what is expected."""
        expected = self.means[int(probabilities.argmax())]
        arrays["sum"] += self.feature(self.scale(embedding)) - expected

    def score(self, memory: Memory) -> float:
        """Return the squared length of the mean difference."""
        return float(((memory["sum"] / self.window) ** 2).sum())

    def close(self, memory: Memory) -> Memory:
        """Sum anew."""
        return self.begin()
