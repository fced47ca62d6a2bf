"""`fingerprints`: clips that are nearly, but not exactly, one that the account has sent before."""

import hmac
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from victim_service.detectors.base import DetectorSpec, Memory, Reference
from victim_service.detectors.log_mel import log_mel
from victim_service.detectors.stepwise import Arrays, Repeats, Row, Stepwise, a_ring, filled, push

_BITS = 256
_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


class FingerprintsSpec(DetectorSpec):
    """Counts the clips whose salted fingerprint is close to an earlier one of the account."""

    most: ClassVar[float] = 1.0

    kind: Literal["fingerprints"] = "fingerprints"
    kept: int = Field(default=1000, ge=8, le=20_000)
    """Clips of the account that are remembered, at 40 bytes each."""
    close: int = Field(default=12, ge=0, le=_BITS // 4)
    """Bits of 256 in which two fingerprints of one recording may differ."""

    def build(self, reference: Reference) -> "Fingerprints":
        """Return the detector; its hashes are salted with the service's secret."""
        return Fingerprints(self, reference)


class Fingerprints(Stepwise):
    """Score: the share of the window's clips that are near-duplicates, from 0 to 1.

    A fingerprint is 256 signs of random projections of the clip's log-mel picture, whose axes are
    drawn from a secret: the angle between two pictures is the share of signs that differ. The very
    same samples again are no near-duplicate: they are answered as before, and teach nothing.

    Reference: Charikar, "Similarity Estimation Techniques from Rounding Algorithms", STOC 2002;
    used as Li et al. use their hashes in "Blacklight", USENIX Security 2022.
    """

    def __init__(self, spec: FingerprintsSpec, reference: Reference) -> None:
        super().__init__(spec.window)
        self.kept, self.near, self.rate = spec.kept, spec.close, reference.sample_rate_hz
        self.salt = hmac.digest(reference.secret, b"earshot fingerprints", "sha256")
        self.repeats = Repeats(reference.secret, spec.kept)
        self._axes: dict[int, npt.NDArray[np.float32]] = {}

    def fingerprint(self, clip: Row) -> npt.NDArray[np.uint8]:
        """Return the 32 bytes of ``clip`` (T,)."""
        picture = log_mel(clip, self.rate).ravel()
        signs = self._axes_for(len(picture)) @ (picture - picture.mean()) > 0
        packed: npt.NDArray[np.uint8] = np.packbits(signs)
        return packed

    def begin(self) -> Memory:
        """Return an empty ring of fingerprints and digests, and no near-duplicates."""
        return (
            a_ring("clips", self.kept, (_BITS // 8,), np.uint8)
            | self.repeats.begin()
            | {"near": np.zeros(1, np.int64)}
        )

    def add(self, arrays: Arrays, embedding: Row, probabilities: Row, clip: Row) -> None:
        """Compare the clip with those before it, and remember it unless it is one of them."""
        if not self.repeats.is_new(arrays, clip):
            return
        print_ = self.fingerprint(clip)
        apart = _ONES[filled(arrays, "clips") ^ print_].sum(axis=1, dtype=np.int64)
        if (apart <= self.near).any():
            arrays["near"] += 1
        push(arrays, "clips", print_)

    def score(self, memory: Memory) -> float:
        """Return near-duplicates per clip."""
        return float(memory["near"][0]) / self.window

    def close(self, memory: Memory) -> Memory:
        """Keep the fingerprints; count anew."""
        return {**memory, "near": np.zeros(1, np.int64)}

    def _axes_for(self, size: int) -> npt.NDArray[np.float32]:
        """Return the axes (256, ``size``); clips of a service have one length, so they are kept."""
        if size not in self._axes:
            rng = np.random.default_rng(int.from_bytes(self.salt, "big"))
            self._axes[size] = rng.normal(size=(_BITS, size)).astype(np.float32)
        return self._axes[size]
