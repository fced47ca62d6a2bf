import librosa
import numpy as np
import pytest

from attacker.lab.filters.spectra import MEL_BANDS, Spectra, lowest_band_hz, window_samples
from shared.audio import to_int16

RATE_HZ = 4000


def spectra(*waves: np.ndarray, rate_hz: int = RATE_HZ) -> Spectra:
    return Spectra.of(to_int16(np.stack(waves).astype(np.float32)), rate_hz)


def tone(hz: float, level: float = 0.5, offset: float = 0.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    return offset + level * np.sin(2 * np.pi * hz * np.arange(3 * rate_hz) / rate_hz)


def test_a_tone_is_narrow_and_where_it_is() -> None:
    found = spectra(tone(440.0))
    assert found.centroid_hz[0] == pytest.approx(440, abs=2)
    assert found.bandwidth_hz[0] < 20
    assert found.bins_hz[found.power[0].argmax()] == pytest.approx(440, abs=4)


def test_white_noise_is_as_wide_as_the_band() -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, 60_000)
    assert spectra(noise).bandwidth_hz[0] == pytest.approx(RATE_HZ / 2, rel=0.05)


def test_the_low_share_counts_offsets_and_low_tones_alone() -> None:
    found = spectra(tone(40.0), tone(500.0), tone(500.0, level=0.1, offset=0.6), 0 * tone(1.0))
    assert found.low_share == pytest.approx([1, 0, 1, 1], abs=0.05)
    half = spectra(tone(30.0, 0.3) + tone(900.0, 0.3))
    assert half.low_share[0] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("rate_hz", "expected_hz"), [(4000, 91), (16_000, 180)])
def test_the_lowest_band_is_where_the_bank_has_it(rate_hz: int, expected_hz: int) -> None:
    assert lowest_band_hz(rate_hz) == pytest.approx(expected_hz, abs=1)
    centres = librosa.mel_frequencies(MEL_BANDS + 2, fmin=0, fmax=rate_hz / 2, htk=True)
    assert lowest_band_hz(rate_hz) == pytest.approx(centres[1])
    for hz in (centres[1], centres[4], centres[10]):
        bands = spectra(tone(float(hz), rate_hz=rate_hz), rate_hz=rate_hz).bands[0]
        assert bands.argmax() == list(centres).index(hz) - 1
        assert bands.max() > 0.9 * bands.sum()


def test_windows_are_a_quarter_of_a_second_and_never_longer_than_the_signal() -> None:
    assert (window_samples(4000), window_samples(16_000)) == (1024, 4096)
    assert spectra(np.ones(100)).power.shape == (1, 51)


def test_many_signals_are_seen_as_each_alone() -> None:
    waves = [tone(100.0 + 30 * n) for n in range(20)]
    together = spectra(*waves)
    assert np.allclose(together.power[17], spectra(waves[17]).power[0])
