"""`reverb`: proxy windows as they would sound in a random room."""

from typing import Annotated, Literal

import numpy as np

from attacker.sources.altered import (
    Alteration,
    AlterationSpec,
    Change,
    Wave,
    fft_samples,
    log_uniform,
    within,
)

_DECAY_AT_RT60 = np.log(1e-3)  # -60 dB, of an amplitude


class ReverbSpec(AlterationSpec):
    """With probability p convolves a window with the response of a synthetic room.

    The response is the direct sound and a tail of white noise that decays exponentially; it is
    scaled to change the level of a sound by nothing on average. What was said before the window
    does not echo into it. It is a baseline of ours beside B1 to B4, and so are the defaults.

    Reference: J. A. Moorer, "About This Reverberation Business", 1979 (noise that decays
    exponentially as the response of a room).
    """

    kind: Literal["reverb"] = "reverb"
    rt60_s: Annotated[tuple[float, float], within(0.01, 10)] = (0.1, 0.8)
    """Range of the time in which the tail decays by 60 dB, which is log-uniform in it."""
    direct_to_reverberant_db: Annotated[tuple[float, float], within(-30, 60)] = (0.0, 15.0)
    """Range of the energy of the direct sound over the expected energy of the tail, which is
    uniform in it: 0 is far from the speaker, 15 near."""

    def alteration(self, sample_rate_hz: int) -> Alteration:
        """Return the random room."""
        return Room(self, sample_rate_hz)


class Room(Alteration):
    """A random room, heard from a random distance."""

    def __init__(self, spec: ReverbSpec, sample_rate_hz: int) -> None:
        self.spec = spec
        self.sample_rate_hz = sample_rate_hz

    def draw(self, samples: int, rng: np.random.Generator) -> Change:
        """Return a room."""
        response = self.response(samples, rng)
        length = fft_samples(samples)

        def echo(window: Wave) -> Wave:
            spectrum = np.fft.rfft(window, length) * np.fft.rfft(response, length)
            wet: Wave = np.fft.irfft(spectrum, length)[:samples]
            return wet

        return Change(samples, echo)

    def response(self, samples: int, rng: np.random.Generator) -> Wave:
        """Return the first ``samples`` samples of a room's impulse response, float32."""
        rt60_samples = log_uniform(rng, self.spec.rt60_s) * self.sample_rate_hz
        tail_energy = 10 ** (-rng.uniform(*self.spec.direct_to_reverberant_db) / 10)
        decay = _DECAY_AT_RT60 / rt60_samples
        audible = min(samples, int(rt60_samples) + 1)
        response = np.zeros(samples, dtype=np.float32)
        response[:audible] = rng.standard_normal(audible, dtype=np.float32)
        response[:audible] *= np.exp(decay * np.arange(audible, dtype=np.float32))
        # The envelope's energy is a geometric series, from the first sample after the direct sound.
        response *= np.float32(np.sqrt(tail_energy * np.expm1(-2 * decay)))
        response[0] = 1
        return response / np.float32(np.sqrt(1 + tail_energy))
