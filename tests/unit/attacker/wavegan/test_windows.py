import numpy as np
import pytest

from attacker.wavegan.config import GanConfig
from attacker.wavegan.windows import Windows
from shared.corpora import CorpusError
from shared.corpora.store import ClipStore


def draw(store: ClipStore, config: GanConfig, **changes: object) -> np.ndarray:
    windows = Windows(store, config.model_copy(update=changes))
    return windows.draw(200, np.random.default_rng(1))


def test_shape_type_and_range(store: ClipStore, config: GanConfig) -> None:
    drawn = draw(store, config)
    assert drawn.shape == (200, 256)
    assert drawn.dtype == np.float32
    assert np.abs(drawn).max() <= 1


def test_windows_are_not_silent(store: ClipStore, config: GanConfig) -> None:
    # One third of every clip is silence; a window inside it has an RMS of zero.
    without = draw(store, config, min_window_rms=0.0)
    quiet = np.abs(without).max(axis=1) < 1e-3
    assert 10 < quiet.sum() < 100
    assert (np.abs(draw(store, config)).max(axis=1) > 0.1).all()


def test_normalise_none_keeps_levels(store: ClipStore, config: GanConfig) -> None:
    peaks = np.abs(draw(store, config, normalise="none")).max(axis=1)
    loudest = max(float(np.abs(store.wave(index)).max()) for index in range(len(store.clips)))
    assert peaks.max() <= loudest
    assert peaks.min() < 0.3


def test_normalise_window_brings_every_window_to_full_scale(
    store: ClipStore, config: GanConfig
) -> None:
    peaks = np.abs(draw(store, config, normalise="window")).max(axis=1)
    np.testing.assert_allclose(peaks, 0.99, rtol=1e-5)


def test_normalise_clip_divides_by_the_peak_of_the_whole_clip(
    store: ClipStore, config: GanConfig
) -> None:
    kept, scaled = draw(store, config, normalise="none"), draw(store, config, normalise="clip")
    peaks = [0.99 / np.abs(store.wave(index)).max() for index in range(len(store.clips))]
    factors = np.abs(scaled).max(axis=1) / np.abs(kept).max(axis=1)
    distance = np.abs(factors[:, None] - np.array(peaks)[None, :]).min(axis=1)
    assert distance.max() < 1e-3


def test_same_stream_same_windows(store: ClipStore, config: GanConfig) -> None:
    assert np.array_equal(draw(store, config), draw(store, config))


def test_clips_are_drawn_in_proportion_to_their_weights(
    store: ClipStore, config: GanConfig
) -> None:
    chosen = config.model_copy(update={"normalise": "none", "min_window_rms": 0.0})
    weights = np.zeros(len(store))
    weights[[2, 7]] = 3, 1
    drawn: list[int] = []
    plain = store.random_crops

    def watched(indices: np.ndarray, *rest: object) -> np.ndarray:
        drawn.extend(indices.tolist())
        return plain(indices, *rest)  # type: ignore[arg-type]

    windows = Windows(store, chosen, weights)
    windows._store = type("Watched", (), {"random_crops": staticmethod(watched)})()
    windows.draw(4000, np.random.default_rng(0))
    assert set(drawn) == {2, 7}
    assert drawn.count(2) / 4000 == pytest.approx(0.75, abs=0.03)


def test_equal_weights_are_no_preference(store: ClipStore, config: GanConfig) -> None:
    windows = Windows(store, config, np.full(len(store), 0.3))
    plain = draw(store, config)
    weighted = windows.draw(200, np.random.default_rng(1))
    assert weighted.shape == plain.shape
    assert np.abs(weighted).mean() == pytest.approx(np.abs(plain).mean(), rel=0.1)


class SilentStore:
    clips = (None, None)

    def wave(self, index: int) -> np.ndarray:
        return np.zeros(300 + index, dtype=np.float32)


def test_a_silent_corpus_is_refused(config: GanConfig) -> None:
    with pytest.raises(CorpusError, match="every clip of the corpus is silent"):
        Windows(SilentStore(), config)  # type: ignore[arg-type]
