"""`pitch_shift` (B2): proxy windows, higher or lower at random."""

from typing import Literal

import numpy as np
from pydantic import Field

from attacker.sources.altered import Alteration, AlterationSpec, Change, Wave

MAX_SEMITONES = 24.0
"""Shifts are limited to two octaves: beyond that nothing of a voice is left."""
_WINDOW_S = 0.064


class PitchShiftSpec(AlterationSpec):
    """With probability p shifts a window by s ~ N(0, sigma^2) semitones, its length unchanged.

    The published p and sigma are lost; the defaults are ours.

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", baseline B2.
    """

    kind: Literal["pitch_shift"] = "pitch_shift"
    sigma_semitones: float = Field(default=1.0, gt=0, le=12)
    """sigma: standard deviation of the shift."""

    def alteration(self, sample_rate_hz: int) -> Alteration:
        """Return the random shift."""
        return PitchShift(self, sample_rate_hz)


class PitchShift(Alteration):
    """A random shift of the pitch by a phase vocoder; the tempo stays."""

    def __init__(self, spec: PitchShiftSpec, sample_rate_hz: int) -> None:
        self.spec = spec
        self.sample_rate_hz = sample_rate_hz
        self.n_fft = 2 ** round(np.log2(_WINDOW_S * sample_rate_hz))

    def draw(self, samples: int, rng: np.random.Generator) -> Change:
        """Return a shift."""
        semitones = np.clip(rng.normal(0, self.spec.sigma_semitones), -MAX_SEMITONES, MAX_SEMITONES)
        return Change(samples, lambda window: self._shift(window, float(semitones)))

    def _shift(self, window: Wave, semitones: float) -> Wave:
        from librosa.effects import pitch_shift  # takes seconds to import

        wave: Wave = pitch_shift(
            window, sr=self.sample_rate_hz, n_steps=semitones, n_fft=self.n_fft
        )
        return wave
