"""The walk through the proxy corpus that all sources made of real speech share."""

from functools import lru_cache

import numpy as np

from attacker.sources.base import SourceContext
from shared.seeding import numpy_stream

QUIET = 0.1
"""A window quieter than this share of its clip's RMS level counts as silence, and is redrawn."""
DRAWS = 8
"""Windows drawn at most; after that the loudest of them is taken."""


class ProxyWalk:
    """Query q -> one window of one proxy clip.

    The walk goes through a seeded permutation of all N clips, then through another one: no clip
    comes again before all have come, and each pass draws new windows. Windows of near silence
    (pauses, leading quiet) are drawn again, for they would buy a label of nothing.
    """

    def __init__(self, context: SourceContext) -> None:
        self.store = context.proxy
        self.samples = context.clip_samples
        self.seed = context.seed
        self.material = self.store.manifest_sha256
        self._permutation = lru_cache(maxsize=4)(self._permute)
        self._levels: dict[int, float] = {}

    def clip_of(self, index: int) -> int:
        """Return which proxy clip query ``index`` takes."""
        turn, place = divmod(index, len(self.store))
        return int(self._permutation(turn)[place])

    def window(self, index: int, samples: int | None = None) -> np.ndarray:
        """Return the window float32 of query ``index``: (T,), or of another number of samples."""
        samples = self.samples if samples is None else samples
        clip = self.clip_of(index)
        rng = numpy_stream(self.seed, "proxy", self.material, "window", index)
        floor = QUIET * self._level(clip)
        best, best_rms = np.zeros(samples, dtype=np.float32), -1.0
        for _ in range(DRAWS):
            window: np.ndarray = self.store.random_crops([clip], samples, rng)[0]
            rms = rms_of(window)
            if rms > best_rms:
                best, best_rms = window, rms
            if rms >= floor:
                return window
        return best

    def _permute(self, turn: int) -> np.ndarray:
        stream = numpy_stream(self.seed, "proxy", self.material, "turn", turn)
        permutation: np.ndarray = stream.permutation(len(self.store))
        return permutation

    def _level(self, clip: int) -> float:
        if clip not in self._levels:
            self._levels[clip] = rms_of(self.store.wave(clip))
        return self._levels[clip]


def rms_of(wave: np.ndarray) -> float:
    """Return the root mean square of ``wave``, any shape."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))
