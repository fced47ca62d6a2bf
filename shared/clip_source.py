"""Labelled clips that a network can be trained on."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch


class ClipSource(Protocol):
    """Labelled clips that can be fetched in any order."""

    def __len__(self) -> int:
        """Number of clips."""
        ...

    def batch(
        self, indices: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return clips (B, T) float32 and their targets: labels (B,) int64 or soft (B, K) float32.

        ``rng`` draws training crops; None asks for the one evaluation crop of each clip. Training
        asks from a thread of its own, one batch at a time.
        """
        ...

    def hard_labels(self) -> np.ndarray:
        """Return the label (N,) int64 of every clip; of soft targets the most probable one."""
        ...


@dataclass(frozen=True)
class ArrayClips:
    """Clips (N, T), float32 or int16, with targets (N,) or (N, K), in memory."""

    clips: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.clips)

    def batch(
        self, indices: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the clips and targets at ``indices``; these clips have one crop only."""
        clips = torch.from_numpy(self.clips[indices])
        if clips.dtype == torch.int16:
            clips = clips.float().div_(32768.0)
        return clips, torch.from_numpy(self.targets[indices])

    def hard_labels(self) -> np.ndarray:
        """Return the label (N,) of every clip."""
        return most_probable(self.targets)


def most_probable(targets: np.ndarray) -> np.ndarray:
    """Return labels (N,) int64 of targets that are labels (N,) or probabilities (N, K)."""
    labels: np.ndarray = targets if targets.ndim == 1 else targets.argmax(axis=1)
    return labels.astype(np.int64)
