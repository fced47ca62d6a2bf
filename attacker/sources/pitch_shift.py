"""`pitch_shift` (B2): proxy windows, higher or lower at random."""

from typing import Literal

import numpy as np
from pydantic import Field

from attacker.sources.base import Source, SourceContext
from attacker.sources.walk import ProxyWalk
from shared.config import Frozen

MAX_SEMITONES = 24.0
"""Shifts are limited to two octaves: beyond that nothing of a voice is left."""
_WINDOW_S = 0.064


class PitchShiftSpec(Frozen):
    """With probability p shifts a window by s ~ N(0, sigma^2) semitones, its length unchanged.

    The published p and sigma are lost; the defaults are ours.

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", baseline B2.
    """

    kind: Literal["pitch_shift"] = "pitch_shift"
    probability: float = Field(default=1.0, ge=0, le=1)
    """p: share of windows that are shifted."""
    sigma_semitones: float = Field(default=1.0, gt=0, le=12)
    """sigma: standard deviation of the shift."""

    def build(self, context: SourceContext) -> Source:
        """Return the source."""
        return PitchShiftSource(context, self)


class PitchShiftSource(Source):
    """Pitch-shifted windows of the proxy corpus."""

    def __init__(self, context: SourceContext, spec: PitchShiftSpec) -> None:
        super().__init__(context, "pitch_shift")
        self.spec = spec
        self.walk = ProxyWalk(context)
        self.material = self.walk.material
        self.n_fft = 2 ** round(np.log2(_WINDOW_S * context.sample_rate_hz))

    def make(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """Return the window of query ``index``, shifted or not."""
        from librosa.effects import pitch_shift  # takes seconds to import

        window = self.walk.window(index)
        shifted = rng.random() < self.spec.probability
        semitones = float(
            np.clip(rng.normal(0, self.spec.sigma_semitones), -MAX_SEMITONES, MAX_SEMITONES)
        )
        if not shifted:
            return window
        wave = pitch_shift(
            window, sr=self.context.sample_rate_hz, n_steps=semitones, n_fft=self.n_fft
        )
        clipped: np.ndarray = np.clip(wave, -1, 1)
        return clipped
