"""`mix_noise`: proxy windows with white or pink noise behind them."""

from functools import lru_cache
from typing import Annotated, Literal

import numpy as np

from attacker.sources.altered import Alteration, AlterationSpec, Change, Wave, within
from attacker.sources.walk import rms_of

_FLAT_BELOW_HZ = 20.0
"""Pink noise rises no further below this: nobody hears it, and it would take most of the power."""


class MixNoiseSpec(AlterationSpec):
    """With probability p adds noise to a window, at a random ratio of their levels.

    A window of silence stays silent. It is a baseline of ours beside B1 to B4, and so are the
    defaults.
    """

    kind: Literal["mix_noise"] = "mix_noise"
    snr_db: Annotated[tuple[float, float], within(-30, 90)] = (5.0, 25.0)
    """Range of the window's power over the noise's, which is uniform in it."""
    colour: Literal["white", "pink", "either"] = "either"
    """``white``: of equal power in every Hz; ``pink``: in every octave; ``either``: one or the
    other for each window, with equal odds."""

    def alteration(self, sample_rate_hz: int) -> Alteration:
        """Return the random noise."""
        return MixNoise(self, sample_rate_hz)


class MixNoise(Alteration):
    """Random noise at a random level."""

    def __init__(self, spec: MixNoiseSpec, sample_rate_hz: int) -> None:
        self.spec = spec
        self.sample_rate_hz = sample_rate_hz

    def draw(self, samples: int, rng: np.random.Generator) -> Change:
        """Return noise and how far below the window it lies."""
        ratio = 10 ** (-rng.uniform(*self.spec.snr_db) / 20)
        pink = rng.random() < {"white": 0.0, "pink": 1.0, "either": 0.5}[self.spec.colour]
        noise = self._pink(samples, rng) if pink else _white(samples, rng)
        ratio /= rms_of(noise)
        return Change(samples, lambda window: window + noise * np.float32(ratio * rms_of(window)))

    def _pink(self, samples: int, rng: np.random.Generator) -> Wave:
        length = 1 << (samples - 1).bit_length()  # a power of two: a prime would be slow
        spectrum = np.fft.rfft(_white(length, rng)) * _pink_slope(length, self.sample_rate_hz)
        noise: Wave = np.fft.irfft(spectrum, length)[:samples]
        return noise


def _white(samples: int, rng: np.random.Generator) -> Wave:
    noise: Wave = rng.standard_normal(samples, dtype=np.float32)
    return noise


@lru_cache(maxsize=16)
def _pink_slope(samples: int, sample_rate_hz: int) -> Wave:
    frequencies = np.fft.rfftfreq(samples, 1 / sample_rate_hz)
    slope: Wave = np.float32(1) / np.sqrt(np.maximum(frequencies, _FLAT_BELOW_HZ), dtype=np.float32)
    slope[0] = 0  # no constant offset
    return slope
