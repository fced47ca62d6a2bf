"""Real batches: random windows of a corpus, none of them nearly silent."""

import numpy as np

from attacker.wavegan.config import GanConfig
from shared.audio import Float32
from shared.corpora import CorpusError
from shared.corpora.store import ClipStore

_FLOOR = 1e-4  # below three steps of 16-bit audio a clip holds nothing to learn from
_ATTEMPTS = 8
_LOUDEST = 0.99


class Windows:
    """Draws windows of ``config.clip_samples`` from the clips of a store.

    Clips are drawn uniformly, or in proportion to ``weights`` (N,), then a start within the clip
    uniformly. A window whose RMS is below ``config.min_window_rms`` times that of its clip is drawn
    again, at most eight times, after which the last draw is kept: recordings often open with
    silence, and a generator that learns silence wastes queries. Clips that are silent as a whole
    are never drawn.

    Raises:
        CorpusError: every clip is silent.
    """

    def __init__(
        self, store: ClipStore, config: GanConfig, weights: np.ndarray | None = None
    ) -> None:
        self._store, self._config = store, config
        waves = (store.wave(index) for index in range(len(store.clips)))
        figures = [(float(np.abs(wave).max()), _rms(wave)) for wave in waves]
        peaks, rms = np.asarray(figures, dtype=np.float32).reshape(-1, 2).T
        self._audible = np.flatnonzero(peaks > _FLOOR)
        self._peaks, self._rms = peaks, rms
        if not self._audible.size:
            raise CorpusError("every clip of the corpus is silent. Name one that holds speech.")
        self._chances: np.ndarray | None = None
        if weights is not None:
            self._chances = weights[self._audible] / weights[self._audible].sum()

    def draw(self, count: int, rng: np.random.Generator) -> Float32:
        """Return (count, T) float32 windows in [-1, 1], normalised as the config says."""
        clips = rng.choice(self._audible, size=count, p=self._chances)
        windows = self._store.random_crops(clips, self._config.clip_samples, rng)
        for _ in range(_ATTEMPTS):
            limit = self._config.min_window_rms * self._rms[clips]
            quiet = np.flatnonzero(_rms(windows) < limit)
            if not quiet.size:
                break
            windows[quiet] = self._store.random_crops(clips[quiet], self._config.clip_samples, rng)
        return self._normalised(windows, clips)

    def _normalised(self, windows: Float32, clips: np.ndarray) -> Float32:
        if self._config.normalise == "none":
            return windows
        if self._config.normalise == "clip":
            peaks = self._peaks[clips]
        else:
            peaks = np.maximum(np.abs(windows).max(axis=1), _FLOOR)
        # Full scale would put the target where tanh has no slope.
        scaled: Float32 = (windows * (_LOUDEST / peaks)[:, None]).astype(np.float32)
        return scaled


def _rms(wave: Float32) -> Float32:
    rms: Float32 = np.sqrt(np.square(wave).mean(axis=-1))
    return rms
