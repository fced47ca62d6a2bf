"""Detectors that take one clip after the other: how a stream was cut into batches cannot matter.

Sums over a batch are rounded otherwise than sums over its clips, and two replicas would then keep
two memories of one stream. So nothing here is computed over more than one clip of a stream.
"""

import hashlib
from abc import abstractmethod
from typing import Any, final

import numpy as np
import numpy.typing as npt

from shared.audio import plain_samples
from victim_service.detectors.base import Detector, Memory, Reference, Seen

Arrays = dict[str, npt.NDArray[Any]]
Row = npt.NDArray[np.float32]
Half = npt.NDArray[np.float16]
"""Rows as they are remembered: half the bytes, and exact enough to compare."""


class Stepwise(Detector):
    """Base of detectors that implement ``add``, which takes one clip."""

    @final
    def extend(self, memory: Memory, seen: Seen) -> Memory:
        """Return ``memory`` after ``seen``; clip by clip or at once, the result is the same."""
        arrays: Arrays = {name: array.copy() for name, array in memory.items()}
        for row in zip(seen.embeddings, seen.probabilities, seen.clips, strict=True):
            self.add(arrays, *row)
        return arrays

    @abstractmethod
    def add(self, arrays: Arrays, embedding: Row, probabilities: Row, clip: Row) -> None:
        """Write one clip, (E,), (K,) and (T,), into ``arrays``, which are ours to change."""


class Repeats:
    """Tells the very same clip again, among the latest ``kept`` different ones of an account.

    It is answered as before and teaches nothing, and monitoring bots send it all day: detectors
    that count clips leave it out.
    """

    def __init__(self, secret: bytes, kept: int = 256) -> None:
        self.secret, self.kept = hashlib.sha256(secret + b"earshot repeats").digest(), kept

    def begin(self) -> Arrays:
        """Return what is remembered of an account that has sent nothing: 8 bytes a clip."""
        return a_ring("known", self.kept, (), np.int64)

    def is_new(self, arrays: Arrays, clip: Row) -> bool:
        """Return whether ``clip`` (T,) is none of the latest; if so it is one of them now."""
        found = hashlib.blake2b(plain_samples(clip).data, key=self.secret, digest_size=8).digest()
        digest = int.from_bytes(found, "big", signed=True)
        if (filled(arrays, "known") == digest).any():
            return False
        push(arrays, "known", digest)
        return True


class Scale:
    """Embeddings, made comparable between models: the reference has mean 0 and length 1."""

    def __init__(self, reference: Reference) -> None:
        embeddings = reference.seen.embeddings.astype(np.float64)
        self.mean: Row = embeddings.mean(axis=0).astype(np.float32)
        length = float(np.sqrt(((embeddings - self.mean) ** 2).sum(axis=1).mean()))
        self.factor = np.float32(1 / max(length, 1e-6))
        self.reference: Row = np.stack([self(row) for row in reference.seen.embeddings])
        """(N, E) the reference itself."""

    def __call__(self, embedding: Row) -> Row:
        """Return one embedding (E,), scaled."""
        scaled: Row = (embedding - self.mean) * self.factor
        return scaled


def push(arrays: Arrays, ring: str, row: npt.ArrayLike) -> None:
    """Write ``row`` over the oldest row of ``ring``; ``ring_next`` counts what was ever written."""
    count = arrays[f"{ring}_next"]
    arrays[ring][int(count[0]) % len(arrays[ring])] = row
    count += 1


def filled(memory: Memory, ring: str) -> npt.NDArray[Any]:
    """Return the rows of ``ring`` that were written, in no order that means anything."""
    rows: npt.NDArray[Any] = memory[ring][: int(memory[f"{ring}_next"][0])]
    return rows


def a_ring(name: str, length: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Arrays:
    """Return the arrays of an empty ring of ``length`` rows."""
    return {
        name: np.zeros((length, *shape), dtype=dtype),
        f"{name}_next": np.zeros(1, dtype=np.int64),
    }
