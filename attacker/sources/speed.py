"""`speed`: proxy windows, played faster or slower at random."""

from math import ceil
from typing import Annotated, Literal

import numpy as np

from attacker.sources.altered import (
    Alteration,
    AlterationSpec,
    Change,
    Wave,
    log_uniform,
    within,
)


class SpeedSpec(AlterationSpec):
    """With probability p plays a window at another speed: pitch, formants and tempo move together.

    It is a baseline of ours beside B1 to B4. A clip is made of T x factor samples of the corpus, so
    that none is padded unless its recording is itself shorter.
    """

    kind: Literal["speed"] = "speed"
    factors: Annotated[tuple[float, float], within(0.5, 2)] = (0.8, 1.25)
    """Range of the factor, which is log-uniform in it: 2 is twice as fast and an octave higher. The
    default is ours."""

    def alteration(self, sample_rate_hz: int) -> Alteration:
        """Return the random speed."""
        del sample_rate_hz
        return Speed(self)


class Speed(Alteration):
    """A random speed of playing, by librosa's high-quality resampling."""

    def __init__(self, spec: SpeedSpec) -> None:
        self.factors = spec.factors

    def draw(self, samples: int, rng: np.random.Generator) -> Change:
        """Return a speed."""
        factor = log_uniform(rng, self.factors)
        return Change(ceil(samples * factor), lambda window: _play(window, factor)[:samples])


def _play(window: Wave, factor: float) -> Wave:
    from librosa import resample  # takes seconds to import

    # Not by torchaudio, whose last bit changes with the number of threads: a clip has to be the
    # same whenever it is made again.
    wave: Wave = resample(window, orig_sr=factor, target_sr=1, res_type="soxr_hq")
    return wave
