"""`call_centre`: one caller after the other, each through a line of its own."""

from typing import Literal

import numpy as np
from pydantic import Field

from attacker.lab.benign.base import HonestUser, UserSpec, Utterance
from attacker.lab.bundle import Bundle

_LINE_HZ = (300.0, 3_400.0)
_SOFT_HZ = 100.0
"""Width of the edges of the line's band."""


class CallCentreSpec(UserSpec):
    """Every speaker of the victim's calls at some time, and says a few things in a row.

    A call has a level and a telephone line of its own, where ``telephone`` says that it comes by
    one; the others come by headset.
    """

    kind: Literal["call_centre"] = "call_centre"
    clips_of_a_call: int = Field(default=8, ge=1, le=1000)
    telephone: float = Field(default=0.5, ge=0, le=1)
    """Share of calls that come by telephone, 300 to 3,400 Hz."""
    level_db: float = Field(default=6.0, ge=0, le=40)
    """How much louder or quieter a call may be."""

    def build(self, bundle: Bundle, seed: int) -> HonestUser:
        """Return the centre."""
        return CallCentre(self, bundle, seed)


class CallCentre(HonestUser):
    """Calls of random speakers."""

    def __init__(self, spec: CallCentreSpec, bundle: Bundle, seed: int) -> None:
        super().__init__(spec.kind, bundle, seed)
        self.spec = spec
        frequencies = np.fft.rfftfreq(bundle.clips.shape[1], 1 / bundle.sample_rate_hz)
        low, high = _LINE_HZ
        rising = np.clip((frequencies - low) / _SOFT_HZ + 0.5, 0, 1)
        self.line = rising * np.clip((high - frequencies) / _SOFT_HZ + 0.5, 0, 1)

    def say(self, query: int) -> Utterance:
        """Return what the caller of this moment says."""
        call = self.stream("call", query // self.spec.clips_of_a_call)
        speaker = int(call.choice(self.speakers))
        gain = 10 ** (call.uniform(-self.spec.level_db, self.spec.level_db) / 20)
        wave = self.utterance(speaker, self.stream("clip", query)) * gain
        if call.random() < self.spec.telephone:
            wave = np.fft.irfft(np.fft.rfft(wave) * self.line, len(wave))
        return Utterance(wave, speaker)
