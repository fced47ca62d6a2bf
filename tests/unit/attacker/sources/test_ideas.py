"""What each source is for: the idea of its file, measured."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from attacker.sources import SourceContext
from attacker.sources.amplify import AmplifySpec
from attacker.sources.gaussian_noise import GaussianNoiseSpec
from attacker.sources.interpolate import InterpolateSpec
from attacker.sources.pitch_shift import PitchShiftSpec
from attacker.sources.proxy import ProxySpec
from attacker.sources.walk import ProxyWalk
from attacker.sources.wavegan import WaveganSpec, find_generator
from shared.corpora.store import ClipStore

Make = Callable[..., SourceContext]


def test_no_proxy_clip_comes_again_before_all_have_come(context: Make) -> None:
    walk = ProxyWalk(context())
    turns = [[walk.clip_of(7 * turn + place) for place in range(7)] for turn in range(6)]
    assert all(sorted(turn) == list(range(7)) for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 1


def test_each_pass_takes_new_windows(context: Make) -> None:
    source = ProxySpec().build(context())
    walk = ProxyWalk(context())
    of_clip_5 = [q for q in range(35) if walk.clip_of(q) == 5]
    windows = source.render(np.array(of_clip_5))
    assert len(np.unique(windows, axis=0)) == len(of_clip_5) == 5


def test_silent_windows_are_drawn_again(context: Make, store: ClipStore) -> None:
    walk = ProxyWalk(context())
    half_silent = [walk.window(q) for q in range(7 * 40) if walk.clip_of(q) == 6]
    plain = store.random_crops([6] * 400, 1024, np.random.default_rng(0))
    assert np.mean([not window.any() for window in plain]) > 0.2
    assert all(window.any() for window in half_silent)


def test_a_clip_of_nothing_but_silence_is_sent_as_it_is(context: Make) -> None:
    class Silence(SimpleNamespace):
        def __len__(self) -> int:
            return 1

    zeros = np.zeros(2000, dtype=np.float32)
    silence = Silence(
        manifest_sha256="silence",
        wave=lambda index: zeros,
        random_crops=lambda indices, samples, rng: np.zeros((1, samples), np.float32),
    )
    clip = ProxySpec().build(context(open_proxy=lambda: silence)).render(np.array([0]))
    assert not clip.any()


def test_amplify_scales_the_very_window_that_proxy_sends(context: Make) -> None:
    indices = np.arange(60)
    plain = ProxySpec().build(context()).render(indices)
    loud = AmplifySpec(probability=0.5, max_gain=3).build(context()).render(indices)
    gains = np.abs(loud).max(axis=1) / np.abs(plain).max(axis=1)
    assert 0.3 < np.mean(np.isclose(gains, 1, atol=2e-3)) < 0.7
    assert gains.min() > 1 / 3.1
    assert gains.max() < 3.1
    assert (gains > 1.2).any()
    assert (gains < 0.8).any()


def test_amplify_clips_at_full_scale(context: Make) -> None:
    loud = AmplifySpec(probability=1, max_gain=1000).build(context()).render(np.arange(30))
    assert loud.max() == pytest.approx(1, abs=1e-4)


def test_probability_zero_leaves_the_proxy_alone(context: Make) -> None:
    plain = ProxySpec().build(context()).render(np.arange(9))
    for spec in (AmplifySpec(probability=0), PitchShiftSpec(probability=0)):
        assert np.array_equal(spec.build(context()).render(np.arange(9)), plain)


def test_pitch_shift_moves_the_tone_by_semitones(context: Make) -> None:
    indices = np.arange(60)
    walk = ProxyWalk(context())
    # The longest whole tones: no edges of silence in their windows.
    indices = np.array([q for q in indices if walk.clip_of(int(q)) in (3, 4, 5)])
    plain = ProxySpec().build(context()).render(indices)
    shifted = PitchShiftSpec(probability=1, sigma_semitones=3).build(context()).render(indices)
    semitones = 12 * np.log2(_tone_hz(shifted) / _tone_hz(plain))
    assert 1.5 < semitones.std() < 5
    assert abs(semitones.mean()) < 2


def _tone_hz(clips: np.ndarray) -> np.ndarray:
    spectrum = np.abs(np.fft.rfft(clips * np.hanning(clips.shape[1]), 16384))
    peak: np.ndarray = spectrum.argmax(axis=1) * 4000 / 16384
    return peak


def test_interpolate_mixes_the_walks_neighbours(context: Make) -> None:
    walk = ProxyWalk(context())
    clips = InterpolateSpec().build(context()).render(np.arange(30))
    shares = []
    for q, clip in enumerate(clips):
        pair = np.stack([walk.window(2 * q), walk.window(2 * q + 1)])
        weights, *_ = np.linalg.lstsq(pair.T, clip, rcond=None)
        assert weights.sum() == pytest.approx(1, abs=0.02)
        shares.append(weights[0])
    assert -0.02 < min(shares) < 0.2
    assert 0.8 < max(shares) < 1.02


def test_noise_has_the_sigma_asked_for(context: Make) -> None:
    clips = GaussianNoiseSpec(sigma=0.2).build(context()).render(np.arange(50))
    assert clips.std() == pytest.approx(0.2, rel=0.02)
    assert abs(clips.mean()) < 0.003


def test_noise_opens_no_corpus(context: Make) -> None:
    def refuse() -> Any:
        raise AssertionError("the corpus was opened")

    GaussianNoiseSpec().build(context(open_proxy=refuse)).render(np.arange(2))


def test_wavegan_gain_and_peak(context: Make, table: dict[str, Any]) -> None:
    folder = table["wavegan"].generator
    full = WaveganSpec(generator=folder, normalise_peak=True).build(context())
    half = WaveganSpec(generator=folder, normalise_peak=True, gain=0.5).build(context())
    peaks = np.abs(full.render(np.arange(8))).max(axis=1)
    assert peaks == pytest.approx(1, abs=1e-3)
    assert np.abs(half.render(np.arange(8))).max(axis=1) == pytest.approx(0.5, abs=1e-3)
    assert full.material == half.material


def test_a_relative_generator_is_also_looked_for_beside_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_generator("attacker/wavegan").is_dir()
    assert not find_generator("attacker/no-such").exists()
