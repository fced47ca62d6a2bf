"""A detector for tests: it counts loud clips, and its threshold is what the spec says."""

from typing import Literal

import numpy as np

from victim_service.detectors import Detector, DetectorSpec, Memory, Reference, Seen

LOUD = 0.5


class LoudSpec(DetectorSpec):
    """Scores a window by its share of loud clips."""

    kind: Literal["loud"] = "loud"
    window: int = 4
    threshold: float | None = 0.5

    def build(self, reference: Reference) -> "Loud":
        """Return the detector."""
        return Loud(self.window)


class Loud(Detector):
    """Remembers how many clips of the window were loud, and how many clips there ever were."""

    def begin(self) -> Memory:
        """Return a memory of nothing."""
        return {"loud": np.zeros(1, np.int64), "a/b": np.zeros((2, 3), np.float32)}

    def extend(self, memory: Memory, seen: Seen) -> Memory:
        """Count."""
        assert 0 < len(seen) <= self.window
        assert seen.embeddings.ndim == seen.probabilities.ndim == seen.clips.ndim == 2
        loud = np.abs(seen.clips).max(axis=1) > LOUD
        ever = np.asarray(memory["a/b"]) + np.float32(len(seen))
        return {"loud": np.asarray(memory["loud"]) + loud.sum(), "a/b": ever}

    def score(self, memory: Memory) -> float:
        """Return the share."""
        return float(np.asarray(memory["loud"])[0]) / self.window

    def close(self, memory: Memory) -> Memory:
        """Forget the window."""
        return {**memory, "loud": np.zeros(1, np.int64)}


class NothingFitted:
    """Builds detectors without honest traffic; each says its own threshold."""

    def build(self, spec: DetectorSpec) -> tuple[Detector, float]:
        """Return the detector and its threshold."""
        nobody = Seen(*(np.zeros((0, 1), np.float32),) * 3)
        assert spec.threshold is not None
        return spec.build(Reference(nobody, np.zeros(0, np.int64), 4000)), spec.threshold


def clips_of(loud: str, samples: int) -> np.ndarray:
    """Return a clip for each letter of ``loud``: L is loud, anything else is quiet."""
    levels = np.array([0.9 if letter == "L" else 0.1 for letter in loud], np.float32)
    tone = np.sin(np.arange(samples) / 7, dtype=np.float32)
    return levels[:, None] * tone
