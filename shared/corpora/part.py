"""A part of a corpus's clips, as training takes them."""

from dataclasses import dataclass

import numpy as np
import torch

from shared.corpora.store import ClipStore


@dataclass(frozen=True)
class StoreClips:
    """A part of a store as a ``ClipSource``: random crops for training, fixed ones otherwise."""

    store: ClipStore
    indices: np.ndarray
    """(N,) clips of the store that belong to the part."""
    labels: np.ndarray
    """Label of every clip of the store, int64."""
    samples: int
    """T: samples of a crop."""

    def __len__(self) -> int:
        return len(self.indices)

    def batch(
        self, indices: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return crops (B, T) and labels (B,) of the clips at ``indices`` of this part."""
        wanted = self.indices[indices]
        if rng is None:
            crops = self.store.fixed_crops(wanted, self.samples)
        else:
            crops = self.store.random_crops(wanted, self.samples, rng)
        return torch.from_numpy(crops), torch.from_numpy(self.labels[wanted])

    def hard_labels(self) -> np.ndarray:
        """Return the label (N,) of every clip of this part."""
        labels: np.ndarray = self.labels[self.indices]
        return labels
