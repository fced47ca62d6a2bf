"""`hardness`: how early in a training clips get the label that they keep, window by window."""

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from victim_service.detectors.base import DetectorSpec, Memory, Reference
from victim_service.detectors.stepwise import Arrays, Repeats, Row, Scale, Stepwise

_BATCH, _MOMENTUM, _MOST_CLIPS, _SEED = 32, 0.9, 2000, 20_221


class HardnessSpec(DetectorSpec):
    """Compares the histogram of hardness in each window with that of the reference."""

    most: ClassVar[float] = 2.0

    kind: Literal["hardness"] = "hardness"
    snapshots: int = Field(default=10, ge=2, le=50)
    """Epochs of the training, with a snapshot after each."""
    learning_rate: float = Field(default=0.02, gt=0, le=10)
    """Of the heads; slow enough that the epochs differ."""

    def build(self, reference: Reference) -> "Hardness":
        """Return the detector; its heads are trained here, always to the same weights."""
        return Hardness(self, reference)


class Hardness(Stepwise):
    """Score: Pearson's distance between two histograms, 1 less their correlation, from 0 to 2.

    A snapshot is a linear head on the victim's embedding, trained to say what the victim says. The
    hardness of a clip is the first snapshot from which on its label stays.

    Reference: Sadeghzadeh et al., "HODA: Hardness-Oriented Detection of Model Extraction Attacks",
    IEEE TIFS 2024; there the snapshots are of the whole network, which nobody kept here, and clips
    that come again are counted.
    """

    def __init__(self, spec: HardnessSpec, reference: Reference) -> None:
        super().__init__(spec.window)
        self.scale, self.repeats = Scale(reference), Repeats(reference.secret)
        self.heads = _train(self.scale.reference, reference.seen.probabilities, spec)
        counts = np.zeros(spec.snapshots)
        for row in self.scale.reference:
            counts[self.hardness(row)] += 1
        self.usual = counts / counts.sum()

    def hardness(self, row: Row) -> int:
        """Return the hardness, from 0 to ``snapshots`` - 1, of a scaled embedding (E,)."""
        labels = [int((head[:, :-1] @ row + head[:, -1]).argmax()) for head in self.heads]
        changes = [n for n in range(1, len(labels)) if labels[n] != labels[n - 1]]
        return changes[-1] if changes else 0

    def begin(self) -> Memory:
        """Return an empty histogram, and no clip known."""
        return self.repeats.begin() | {"counts": np.zeros(len(self.usual), np.int64)}

    def add(self, arrays: Arrays, embedding: Row, probabilities: Row, clip: Row) -> None:
        """Count the clip, unless it came before."""
        if not self.repeats.is_new(arrays, clip):
            return
        arrays["counts"][self.hardness(self.scale(embedding))] += 1

    def score(self, memory: Memory) -> float:
        """Return the distance to the usual histogram; 0 with too few new clips to tell."""
        if 2 * memory["counts"].sum() < self.window:
            return 0.0
        return pearson_distance(memory["counts"].astype(np.float64), self.usual)

    def close(self, memory: Memory) -> Memory:
        """Count anew."""
        return {**memory, "counts": np.zeros(len(self.usual), np.int64)}


def pearson_distance(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Return 1 - correlation of two histograms (S,); 1 where one of them is flat."""
    a, b = one - one.mean(), other - other.mean()
    length = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return 1 - float((a * b).sum()) / length if length else 1.0


def _train(rows: Row, answers: Row, spec: HardnessSpec) -> Row:
    """Return the heads (S, K, E + 1), biases last, after each epoch of plain SGD."""
    rng = np.random.default_rng(_SEED)
    chosen = rng.permutation(len(rows))[:_MOST_CLIPS]
    inputs = np.column_stack([rows[chosen], np.ones(len(chosen), np.float32)]).astype(np.float32)
    labels = answers[chosen].argmax(axis=1)
    head = np.zeros((answers.shape[1], inputs.shape[1]), np.float32)
    speed, heads = np.zeros_like(head), []
    for _ in range(spec.snapshots):
        order = rng.permutation(len(inputs))
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            logits = inputs[batch] @ head.T
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            errors = powers / powers.sum(axis=1, keepdims=True)
            errors[np.arange(len(batch)), labels[batch]] -= 1
            speed = _MOMENTUM * speed + errors.T @ inputs[batch] / len(batch)
            head = head - np.float32(spec.learning_rate) * speed
        heads.append(head)
    return np.stack(heads).astype(np.float32)
