"""`filter`: proxy windows through a random band, as other microphones and lines would pass it."""

from functools import lru_cache
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from attacker.errors import SourceMismatch
from attacker.sources.altered import (
    Alteration,
    AlterationSpec,
    Change,
    Wave,
    fft_samples,
    log_uniform,
    within,
)


class FilterSpec(AlterationSpec):
    """With probability p limits the band of a window by a random high-pass and a random low-pass.

    Both have the gain of a Butterworth filter, 1/sqrt(2) at the corner, and no delay. It is a
    baseline of ours beside B1 to B4, and so are the defaults; a telephone line is about
    ``high_pass_hz: [300, 300], low_pass_hz: [3400, 3400]``.
    """

    kind: Literal["filter"] = "filter"
    high_pass_hz: Annotated[tuple[float, float], within(1, 100_000)] = (50.0, 400.0)
    """Range of the lower corner, which is log-uniform in it; it must lie within the victim's
    band."""
    low_pass_hz: Annotated[tuple[float, float], within(1, 100_000)] = (1_000.0, 4_000.0)
    """Range of the upper corner, which is log-uniform in it; beyond half of the victim's sample
    rate it cuts next to nothing."""
    order: int = Field(default=4, ge=1, le=16)
    """Order of each side: 6 dB an octave each."""

    @model_validator(mode="after")
    def _leaves_a_band(self) -> Self:
        if self.high_pass_hz[1] >= self.low_pass_hz[0]:
            raise ValueError(
                f"the corner of the high-pass may reach {self.high_pass_hz[1]:g} Hz and that of "
                f"the low-pass {self.low_pass_hz[0]:g} Hz, which leaves no band. Keep every "
                "high_pass_hz below every low_pass_hz"
            )
        return self

    def alteration(self, sample_rate_hz: int) -> Alteration:
        """Return the random band.

        Raises:
            SourceMismatch: the high-pass could cut away all that the victim hears.
        """
        if 2 * self.high_pass_hz[1] >= sample_rate_hz:
            raise SourceMismatch(
                f"filter: high_pass_hz reaches {self.high_pass_hz[1]:g} Hz, but the victim's audio "
                f"at {sample_rate_hz} Hz ends at {sample_rate_hz / 2:g} Hz. Lower it."
            )
        return Band(self, sample_rate_hz)


class Band(Alteration):
    """A random band, cut out of the spectrum."""

    def __init__(self, spec: FilterSpec, sample_rate_hz: int) -> None:
        self.spec = spec
        self.sample_rate_hz = sample_rate_hz

    def draw(self, samples: int, rng: np.random.Generator) -> Change:
        """Return a band."""
        low_hz = log_uniform(rng, self.spec.high_pass_hz)
        high_hz = log_uniform(rng, self.spec.low_pass_hz)
        return Change(samples, lambda window: self._limit(window, low_hz, high_hz))

    def _limit(self, window: Wave, low_hz: float, high_hz: float) -> Wave:
        length = fft_samples(len(window))
        squares = _squared_frequencies(length, self.sample_rate_hz)
        above = (squares / low_hz**2) ** self.spec.order
        below = (squares / high_hz**2) ** self.spec.order
        gains = np.sqrt(above / ((1 + above) * (1 + below)))
        spectrum = np.fft.rfft(window, length) * gains.astype(np.float32)
        limited: Wave = np.fft.irfft(spectrum, length)[: len(window)]
        return limited


@lru_cache(maxsize=16)
def _squared_frequencies(length: int, sample_rate_hz: int) -> Wave:
    squares: Wave = np.square(np.fft.rfftfreq(length, 1 / sample_rate_hz))
    return squares
