"""Journals keep a seed and an index, not a waveform: old ones must be made of the same clips."""

import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from attacker.sources import SourceContext
from attacker.sources.amplify import AmplifySpec
from attacker.sources.gaussian_noise import GaussianNoiseSpec
from attacker.sources.interpolate import InterpolateSpec
from attacker.sources.pitch_shift import PitchShiftSpec
from attacker.sources.proxy import ProxySpec
from shared.audio import from_int16, to_int16
from shared.corpora.store import ClipStore
from shared.seeding import numpy_stream

Make = Callable[..., SourceContext]
Spec = ProxySpec | AmplifySpec | InterpolateSpec | GaussianNoiseSpec
INDICES = np.array([0, 1, 2, 3, 4, 5, 6, 7, 29, 64, 1_000, 123_456])


@pytest.mark.parametrize(
    ("spec", "sha256"),
    [
        (ProxySpec(), "87976e83cc7c9c66"),
        (AmplifySpec(), "d184743b5825e3ae"),
        (AmplifySpec(probability=0.5, max_gain=20), "f4a5e5153129bf04"),
        (InterpolateSpec(), "8613924a31be8ada"),
        (GaussianNoiseSpec(), "04930d7df42b2e22"),
    ],
    ids=["proxy", "amplify", "amplify half", "interpolate", "gaussian_noise"],
)
def test_clips_are_those_of_the_first_release(spec: Spec, sha256: str, context: Make) -> None:
    clips = to_int16(spec.build(context()).render(INDICES))
    assert hashlib.sha256(clips.astype("<i2").tobytes()).hexdigest()[:16] == sha256


@pytest.mark.parametrize("probability", [1.0, 0.5])
def test_pitch_shift_draws_and_shifts_as_it_always_did(
    probability: float, context: Make, store: ClipStore
) -> None:
    """Its samples differ in the last bit between processors, so it is compared with its recipe."""
    from librosa.effects import pitch_shift

    spec = PitchShiftSpec(probability=probability, sigma_semitones=2)
    windows = ProxySpec().build(context()).render(INDICES)
    expected = []
    for index, window in zip(INDICES, windows, strict=True):
        rng = numpy_stream(5, "source", store.manifest_sha256, "pitch_shift", int(index))
        shifted, semitones = rng.random() < probability, np.clip(rng.normal(0, 2), -24, 24)
        wave = pitch_shift(window, sr=4000, n_steps=float(semitones), n_fft=256)
        expected.append(np.clip(wave, -1, 1) if shifted else window)
    made = spec.build(context()).render(INDICES)
    assert np.array_equal(made, from_int16(to_int16(np.stack(expected))))
    assert np.mean((made != windows).any(axis=1)) == pytest.approx(probability, abs=0.35)
