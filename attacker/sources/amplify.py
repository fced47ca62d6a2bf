"""`amplify` (B1): proxy windows, made louder or quieter at random."""

from typing import Literal

import numpy as np
from pydantic import Field

from attacker.sources.altered import Alteration, AlterationSpec, Change


class AmplifySpec(AlterationSpec):
    """With probability p multiplies a window by a, log-uniform in [1/A, A], clipped to [-1, 1].

    The range is ours: the published p and A are lost. A victim with ``normalise: rms`` hears no
    difference but the clipping.

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", baseline B1.
    """

    kind: Literal["amplify"] = "amplify"
    max_gain: float = Field(default=5.0, ge=1, le=1000)
    """A: the largest factor, and one over the smallest."""

    def alteration(self, sample_rate_hz: int) -> Alteration:
        """Return the random gain."""
        del sample_rate_hz
        return Amplify(self)


class Amplify(Alteration):
    """A random gain."""

    def __init__(self, spec: AmplifySpec) -> None:
        self.reach = np.log(spec.max_gain)

    def draw(self, samples: int, rng: np.random.Generator) -> Change:
        """Return a gain."""
        gain = np.float32(np.exp(rng.uniform(-self.reach, self.reach)))
        return Change(samples, lambda window: window * gain)
