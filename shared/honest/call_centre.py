"""`call_centre`: one caller after the other, each through a line of its own."""

from typing import Literal, Self

import numpy as np
from pydantic import Field

from shared.honest.base import HonestUser, Recordings, UserSpec, Utterance

_LINE_HZ = (300.0, 3_400.0)
_SOFT_HZ = 100.0
"""Width of the edges of the line's band."""


class CallCentreSpec(UserSpec):
    """One caller after the other says a few things in a row; every speaker calls at some time.

    A call has a level and a telephone line of its own, where ``telephone`` says that it comes by
    one; the others come by headset.
    """

    kind: Literal["call_centre"] = "call_centre"
    callers: int | None = Field(default=None, ge=1)
    """How many of the victim's speakers ever call; None: all of them."""
    clips_of_a_call: int = Field(default=8, ge=1, le=1000)
    telephone: float = Field(default=0.5, ge=0, le=1)
    """Share of calls that come by telephone, 300 to 3,400 Hz."""
    level_db: float = Field(default=6.0, ge=0, le=40)
    """How much louder or quieter a call may be."""

    @classmethod
    def somebody(cls, rng: np.random.Generator) -> Self:
        """Return a centre of few or all speakers, of short or long calls."""
        return cls(
            callers=int(rng.integers(3, 12, endpoint=True)) if rng.random() < 0.5 else None,
            clips_of_a_call=int(rng.integers(4, 12, endpoint=True)),
            telephone=float(rng.uniform(0, 1)),
            level_db=float(rng.uniform(3, 9)),
        )

    def build(self, speech: Recordings, seed: int) -> HonestUser:
        """Return the centre."""
        return CallCentre(self, speech, seed)


class CallCentre(HonestUser):
    """Calls of random speakers, one after the other."""

    def __init__(self, spec: CallCentreSpec, speech: Recordings, seed: int) -> None:
        super().__init__(spec.kind, speech, seed)
        self.spec = spec
        self.callers = np.sort(self.stream("callers").permutation(self.speakers)[: spec.callers])
        frequencies = np.fft.rfftfreq(speech.clips.shape[1], 1 / speech.sample_rate_hz)
        low, high = _LINE_HZ
        rising = np.clip((frequencies - low) / _SOFT_HZ + 0.5, 0, 1)
        self.line = rising * np.clip((high - frequencies) / _SOFT_HZ + 0.5, 0, 1)

    def say(self, query: int) -> Utterance:
        """Return what the caller of this moment says."""
        call = self.stream("call", query // self.spec.clips_of_a_call)
        speaker = int(call.choice(self.callers))
        gain = 10 ** (call.uniform(-self.spec.level_db, self.spec.level_db) / 20)
        wave = self.utterance(speaker, self.stream("clip", query)) * gain
        if call.random() < self.spec.telephone:
            wave = np.fft.irfft(np.fft.rfft(wave) * self.line, len(wave))
        return Utterance(wave, speaker)
