"""`leakage`: what a student would already know that was taught by the account's own answers."""

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from victim_service.detectors.base import DetectorSpec, Memory, Reference
from victim_service.detectors.stepwise import Arrays, Row, Scale, Stepwise

_SEED = 20_171


class LeakageSpec(DetectorSpec):
    """Fits a shadow student to all the account was answered, and examines it."""

    most: ClassVar[float] = 1.0

    kind: Literal["leakage"] = "leakage"
    ridge: float = Field(default=0.1, gt=0, le=1e6)
    """Penalty on the student's weights, in clips."""
    codes: int = Field(default=128, ge=8, le=4096)
    """With more labels than this, answers are summed as random codes of so many numbers."""
    probe: int = Field(default=500, ge=8, le=100_000)
    """Most clips of the reference that the student is examined on."""

    def build(self, reference: Reference) -> "Leakage":
        """Return the detector."""
        return Leakage(self, reference)


class Leakage(Stepwise):
    """Score: the student's agreement with the victim on the private reference, from 0 to 1.

    The student is a ridge regression from the victim's embedding to what the victim said, so that
    its memory is two running sums. It is taught what the model says before any defence: a bound
    from above on what the account was told, but not on what a student with an idea of its own does.

    Reference: Kesarwani et al., "Model Extraction Warning in MLaaS Paradigm", ACSAC 2018.
    """

    def __init__(self, spec: LeakageSpec, reference: Reference) -> None:
        super().__init__(spec.window)
        self.ridge = spec.ridge
        self.scale = Scale(reference)
        classes = reference.seen.probabilities.shape[1]
        rng = np.random.default_rng(_SEED)
        self.code: npt.NDArray[np.float32] | None = None
        if classes > spec.codes:
            signs = rng.integers(0, 2, (classes, spec.codes)) * 2 - 1
            self.code = (signs / np.sqrt(spec.codes)).astype(np.float32)
        self.width = spec.codes if self.code is not None else classes
        chosen = np.sort(rng.permutation(len(reference.seen))[: spec.probe])
        self.exam = np.column_stack([self.scale.reference[chosen], np.ones(len(chosen))])
        self.answers = reference.seen.probabilities[chosen].argmax(axis=1)
        self.upper = np.triu_indices(self.exam.shape[1])

    def begin(self) -> Memory:
        """Return sums of nothing; of the square one its upper half."""
        size = self.exam.shape[1]
        return {
            "inputs": np.zeros(len(self.upper[0]), np.float32),
            "answers": np.zeros((size, self.width), np.float32),
        }

    def add(self, arrays: Arrays, embedding: Row, probabilities: Row, clip: Row) -> None:
        """Teach the student one clip."""
        row = np.append(self.scale(embedding), np.float32(1))
        told = probabilities if self.code is None else probabilities @ self.code
        arrays["inputs"] += np.outer(row, row)[self.upper]
        arrays["answers"] += np.outer(row, told)

    def student(self, memory: Memory) -> npt.NDArray[np.float64]:
        """Return the weights (E + 1, K, or codes) of the student, the bias last."""
        size = self.exam.shape[1]
        square = np.zeros((size, size))
        square[self.upper] = memory["inputs"]
        square += np.triu(square, 1).T
        square[np.diag_indices(size)] += self.ridge
        weights = np.linalg.solve(square, memory["answers"].astype(np.float64))
        return weights.astype(np.float64, copy=False)

    def score(self, memory: Memory) -> float:
        """Return the share of the private clips on which the student says what the victim says."""
        says = self.exam @ self.student(memory)
        if self.code is not None:
            says = says @ self.code.T.astype(np.float64)
        return float((says.argmax(axis=1) == self.answers).mean())
