"""What each alteration is for, measured: on clicks, tones and noise of known shape."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from attacker.errors import SourceMismatch
from attacker.sources import SourceContext
from attacker.sources.altered import AlterationSpec
from attacker.sources.filter import FilterSpec
from attacker.sources.mix_noise import MixNoiseSpec
from attacker.sources.proxy import ProxySpec
from attacker.sources.reverb import ReverbSpec, Room
from attacker.sources.speed import SpeedSpec
from attacker.sources.walk import ProxyWalk

Make = Callable[..., SourceContext]
RATE_HZ, SAMPLES = 4000, 4096


def altered(spec: AlterationSpec, wave: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return what one draw of the alteration makes of ``wave``, as long as it can be."""
    alteration, rng = spec.alteration(RATE_HZ), np.random.default_rng(seed)
    samples = SAMPLES if isinstance(spec, SpeedSpec) else len(wave)
    change = alteration.draw(samples, rng)
    made = change.apply(wave[: change.takes_samples].astype(np.float32))
    assert made.shape == (samples,)
    assert made.dtype == np.float32
    return made


def noise(samples: int = SAMPLES) -> np.ndarray:
    return np.random.default_rng(9).normal(0, 0.1, samples)


def power_db(wave: np.ndarray, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(wave)) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / RATE_HZ)
    return float(10 * np.log10(power[(hz >= low_hz) & (hz < high_hz)].mean()))


# ------------------------------------------------------------------------------------------ speed


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.23, 2.0])
def test_speed_moves_pitch_and_tempo_together(factor: float) -> None:
    time_s = np.arange(2 * SAMPLES) / RATE_HZ
    beats = np.sin(2 * np.pi * 400 * time_s) * (np.sin(2 * np.pi * 4 * time_s) > 0)
    made = altered(SpeedSpec(factors=(factor, factor)), 0.5 * beats)
    spectrum = np.abs(np.fft.rfft(made * np.hanning(SAMPLES)))
    assert spectrum.argmax() * RATE_HZ / SAMPLES == pytest.approx(400 * factor, abs=3)
    loud = np.abs(made) > 0.05
    silences = np.diff(np.flatnonzero(loud))
    gaps = silences[silences > 0.1 * RATE_HZ / factor]
    assert gaps == pytest.approx(0.125 * RATE_HZ / factor, rel=0.03)


def test_speed_takes_as_much_of_the_corpus_as_it_plays(context: Make) -> None:
    walk = ProxyWalk(context())
    # Recordings that are long enough for the highest factor, so that nothing need be padded.
    indices = np.array([q for q in range(140) if walk.clip_of(q) in (3, 4, 5)])
    clips = SpeedSpec(factors=(0.6, 1.9)).build(context()).render(indices)
    ends = np.sqrt(np.square(clips.reshape(len(clips), 16, -1)).mean(axis=2))
    assert (ends > 0.15).all()  # of tones with an RMS level of 0.21: no sixteenth is silent


def test_speeds_are_log_uniform_in_their_range(context: Make) -> None:
    walk = ProxyWalk(context())
    indices = np.array([q for q in range(700) if walk.clip_of(q) == 5])
    clips = SpeedSpec(factors=(0.6, 1.5)).build(context()).render(indices)
    spectra = np.abs(np.fft.rfft(clips * np.hanning(clips.shape[1]), 16384))
    factors = spectra.argmax(axis=1) * RATE_HZ / 16384 / 550  # the tone of clip 5
    share = np.log(factors / 0.6) / np.log(1.5 / 0.6)
    assert -0.01 < share.min() < 0.1
    assert 0.9 < share.max() < 1.01
    assert share.mean() == pytest.approx(0.5, abs=0.1)


def test_a_speed_of_one_is_the_proxy(context: Make) -> None:
    plain = ProxySpec().build(context()).render(np.arange(9))
    assert np.array_equal(SpeedSpec(factors=(1, 1)).build(context()).render(np.arange(9)), plain)


# ----------------------------------------------------------------------------------------- filter


def test_filter_has_the_gain_of_a_butterworth_band_and_no_delay() -> None:
    click = np.zeros(SAMPLES)
    click[SAMPLES // 2] = 1
    spec = FilterSpec(high_pass_hz=(200, 200), low_pass_hz=(1000, 1000), order=3)
    made = altered(spec, click)
    assert made.argmax() == SAMPLES // 2
    gains = np.abs(np.fft.rfft(made))
    hz = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
    for corner in (200, 1000):
        assert gains[np.abs(hz - corner).argmin()] == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert gains[np.abs(hz - 447).argmin()] == pytest.approx(1, abs=0.01)
    octave = gains[np.abs(hz - 100).argmin()] / gains[np.abs(hz - 50).argmin()]
    assert 20 * np.log10(octave) == pytest.approx(18, abs=0.5)  # 6 dB an octave and order


def test_filter_does_not_wrap_around_the_window() -> None:
    click = np.zeros(SAMPLES)
    click[-1] = 1
    made = altered(FilterSpec(high_pass_hz=(300, 300), low_pass_hz=(900, 900)), click)
    assert np.abs(made[: SAMPLES // 2]).max() < 1e-4


def test_filter_beyond_the_victims_band_cuts_nothing() -> None:
    wave = noise()
    made = altered(FilterSpec(high_pass_hz=(1, 1), low_pass_hz=(20_000, 20_000)), wave)
    assert np.abs(made - wave).max() < 0.01


def test_filter_draws_both_corners() -> None:
    spec = FilterSpec(high_pass_hz=(20, 500), low_pass_hz=(700, 3000))
    waves = [altered(spec, noise(), seed) for seed in range(40)]
    low = [power_db(wave, 20, 100) - power_db(wave, 500, 700) for wave in waves]
    high = [power_db(wave, 1700, 2000) - power_db(wave, 500, 700) for wave in waves]
    assert np.ptp(low) > 20
    assert np.ptp(high) > 20
    assert abs(np.corrcoef(low, high)[0, 1]) < 0.5


def test_filter_refuses_to_cut_everything(context: Make) -> None:
    with pytest.raises(ValueError, match="leaves no band"):
        FilterSpec(high_pass_hz=(50, 1000), low_pass_hz=(900, 2000))
    wide = FilterSpec(high_pass_hz=(50, 2000), low_pass_hz=(3000, 4000))
    with pytest.raises(SourceMismatch, match=r"at 4000 Hz ends at 2000 Hz\. Lower it"):
        wide.build(context())
    assert wide.build(context(sample_rate_hz=16_000))


# ----------------------------------------------------------------------------------------- reverb


def rooms(spec: ReverbSpec, samples: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([Room(spec, RATE_HZ).response(samples, rng) for _ in range(count)])


def test_reverb_decays_by_60_db_in_rt60() -> None:
    responses = rooms(ReverbSpec(rt60_s=(0.5, 0.5)), 4000, 200)
    level_db = 10 * np.log10(np.square(responses[:, 1:2000], dtype=np.float64).mean(axis=0))
    slope = np.polyfit(np.arange(1999) / RATE_HZ, level_db, 1)[0]
    assert slope == pytest.approx(-60 / 0.5, rel=0.03)
    assert not responses[:, 2002:].any()  # nobody hears more of it


@pytest.mark.parametrize("ratio_db", [-6.0, 0.0, 12.0])
@pytest.mark.parametrize("rt60_s", [0.05, 0.9])
def test_reverb_has_its_ratio_and_keeps_the_level(ratio_db: float, rt60_s: float) -> None:
    spec = ReverbSpec(rt60_s=(rt60_s, rt60_s), direct_to_reverberant_db=(ratio_db, ratio_db))
    energy = np.square(rooms(spec, 8000, 300), dtype=np.float64)
    ratio = energy[:, 0].mean() / energy[:, 1:].sum(axis=1).mean()
    assert 10 * np.log10(ratio) == pytest.approx(ratio_db, abs=0.4)
    assert energy.sum(axis=1).mean() == pytest.approx(1, rel=0.05)


def test_reverb_is_a_convolution_that_begins_with_the_sound() -> None:
    wave = np.zeros(SAMPLES)
    wave[1000], wave[-1] = 0.5, 0.25
    spec = ReverbSpec(rt60_s=(0.2, 0.8))
    response = spec.alteration(RATE_HZ).draw(SAMPLES, np.random.default_rng(3))
    made = altered(spec, wave, seed=3)
    assert np.abs(made[:1000]).max() < 1e-6
    click = np.zeros(SAMPLES, dtype=np.float32)
    click[0] = 1
    whole = np.convolve(wave, response.apply(click))[:SAMPLES]
    assert made == pytest.approx(whole, abs=1e-6)


# -------------------------------------------------------------------------------------- mix_noise


@pytest.mark.parametrize("colour", ["white", "pink"])
@pytest.mark.parametrize("level", [0.5, 0.01])
def test_mix_noise_has_the_ratio_asked_for(colour: Any, level: float) -> None:
    wave = level * np.sin(np.arange(3001) / 3)
    made = altered(MixNoiseSpec(snr_db=(8, 8), colour=colour), wave)
    ratio_db = 20 * np.log10(wave.std() / (made - wave).std())
    assert ratio_db == pytest.approx(8, abs=0.1)


def test_mix_noise_draws_its_ratio() -> None:
    wave = 0.1 * np.sin(np.arange(SAMPLES) / 3)
    spec = MixNoiseSpec(snr_db=(0, 20))
    added = [altered(spec, wave, seed) - wave for seed in range(60)]
    ratios_db = 20 * np.log10(wave.std() / np.std(added, axis=1))
    assert -0.5 < ratios_db.min() < 3
    assert 17 < ratios_db.max() < 20.5


def octaves_db(spec: MixNoiseSpec, seed: int) -> float:
    wave = 0.1 * np.sin(2 * np.pi * np.arange(SAMPLES) / RATE_HZ)
    added = altered(spec, wave, seed) - wave
    return power_db(added, 125, 250) - power_db(added, 1000, 2000)


def test_pink_noise_falls_by_3_db_an_octave_and_white_does_not() -> None:
    white = [octaves_db(MixNoiseSpec(colour="white"), seed) for seed in range(20)]
    pink = [octaves_db(MixNoiseSpec(colour="pink"), seed) for seed in range(20)]
    assert np.mean(white) == pytest.approx(0, abs=0.5)
    assert np.mean(pink) == pytest.approx(9, abs=0.5)  # three octaves


def test_either_colour_comes_about_as_often() -> None:
    steps = [octaves_db(MixNoiseSpec(), seed) for seed in range(60)]
    assert 0.3 < np.mean(np.array(steps) > 4.5) < 0.7


def test_silence_stays_silent() -> None:
    assert not altered(MixNoiseSpec(), np.zeros(SAMPLES)).any()


# ------------------------------------------------------------------------------------------- specs


@pytest.mark.parametrize(
    ("spec", "field", "bad"),
    [
        (SpeedSpec, "factors", (1.25, 0.8)),
        (SpeedSpec, "factors", (0.1, 1)),
        (SpeedSpec, "factors", (float("nan"), 1)),
        (SpeedSpec, "factors", (0.8, 1, 1.25)),
        (FilterSpec, "high_pass_hz", (0, 100)),
        (ReverbSpec, "rt60_s", (0, 1)),
        (ReverbSpec, "direct_to_reverberant_db", (0, float("inf"))),
        (MixNoiseSpec, "snr_db", (25, 5)),
    ],
)
def test_ranges_ascend_and_have_ends(spec: Any, field: str, bad: tuple[float, ...]) -> None:
    words = "tuple" if len(bad) == 3 else r"write a range \[low, high\] with"
    with pytest.raises(ValueError, match=words):
        spec(**{field: bad})


def test_probability_is_the_share_of_altered_windows(context: Make) -> None:
    plain = ProxySpec().build(context()).render(np.arange(120))
    for spec in (SpeedSpec, FilterSpec, ReverbSpec, MixNoiseSpec):
        for probability in (0.0, 0.3, 1.0):
            made = spec(probability=probability).build(context()).render(np.arange(120))
            share = (made != plain).any(axis=1).mean()
            assert share == pytest.approx(probability, abs=0.12 * (0 < probability < 1))
