"""What a journal holds, as values: batches, counts, and the clips that were bought."""

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Batch:
    """Clips that are sent together: the queries from ``first_index`` on."""

    number: int
    iteration: int
    first_index: int
    clips: int
    key: str
    """Idempotency key."""
    payload_sha256: str
    """sha256 of the clips' int16 samples."""

    @property
    def indices(self) -> np.ndarray:
        """Query indices (B,)."""
        return np.arange(self.first_index, self.first_index + self.clips)


@dataclass(frozen=True)
class Counts:
    """How far a campaign is, in clips."""

    planned: int
    """Clips of all batches, whatever became of them."""
    answered: int
    observed: int
    kept: int
    labels_seen: int
    iteration: int


@dataclass(frozen=True)
class Rows:
    """Observed clips in the order in which they were bought; row p is the p-th bought clip."""

    indices: np.ndarray
    """(N,) int64: query index, which makes the clip again."""
    labels: np.ndarray
    """(N,) int64: the victim's most probable label."""
    kept: np.ndarray
    """(N,) bool: whether the sampler kept it; the kept rows are the transfer set."""
    answers: np.ndarray
    """(N, K) float32 as released (zeros where withheld), or (N,) int64 in hard mode."""

    def first(self, mark: int) -> "Rows":
        """Return the first ``mark`` bought clips."""
        return Rows(self.indices[:mark], self.labels[:mark], self.kept[:mark], self.answers[:mark])

    def transfer_sha256(self) -> str:
        """Return the identity of the transfer set: its indices, labels and answers."""
        digest = hashlib.sha256()
        for part in (self.indices, self.labels, self.answers):
            digest.update(np.ascontiguousarray(part[self.kept]).tobytes())
        return digest.hexdigest()
