"""Streams of honest users, as the model sees them: what thresholds are fitted to and tried on."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from shared.audio import from_int16
from shared.honest import USERS
from shared.seeding import derive, numpy_stream
from victim_service.detectors.base import Seen

PROFILES = tuple(USERS)
"""Kinds of users, of which there are many each."""

Network = Callable[[npt.NDArray[np.float32]], tuple[npt.NDArray[np.float32], ...]]
"""Clips (B, T) to embeddings (B, E) and probabilities (B, K)."""

_BATCH = 64


@dataclass(frozen=True)
class Speech:
    """Recordings of the victim's speakers; see ``shared.honest.base.Recordings``."""

    clips: npt.NDArray[np.int16]
    """(N, T)"""
    labels: npt.NDArray[np.int64]
    """(N,) who speaks."""
    n_classes: int
    sample_rate_hz: int

    @cached_property
    def sha256(self) -> str:
        """Of the clips."""
        return hashlib.sha256(self.clips.tobytes()).hexdigest()


@dataclass(frozen=True)
class HonestTraffic:
    """The honest users of a victim; each is made of ``speech`` and heard by ``network``."""

    speech: Speech
    network: Network
    seed: int

    def stream(self, profile: str, number: int, clips: int) -> Seen:
        """Return the first ``clips`` clips of user ``number`` of a profile."""
        habits = USERS[profile].somebody(numpy_stream(self.seed, "habits", profile, number))
        user = habits.build(self.speech, derive(self.seed, profile, number))
        parts = []
        for start in range(0, clips, _BATCH):
            said, _ = user.clips(np.arange(start, min(start + _BATCH, clips)))
            heard = from_int16(said)
            parts.append((*self.network(heard), heard))
        return Seen(*(np.concatenate(part) for part in zip(*parts, strict=True)))
