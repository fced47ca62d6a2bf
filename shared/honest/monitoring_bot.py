"""`monitoring_bot`: the same few clips for ever, to see that the service is up and right."""

from typing import Literal, Self

import numpy as np
from pydantic import Field

from shared.honest.base import HonestUser, Recordings, UserSpec, Utterance, vary

_PLAYED_DB = (20.0, 35.0)
"""How far noise lies below a recording that is played and heard again: our own choice, 10 dB more
noise than a person who speaks to the microphone has."""


class MonitoringBotSpec(UserSpec):
    """Sends ``probes`` recordings in turn, the same bytes each time unless it plays them."""

    kind: Literal["monitoring_bot"] = "monitoring_bot"
    probes: int = Field(default=10, ge=1, le=1000)
    replayed: float = Field(default=0.0, ge=0, le=1)
    """Share of clips that come by a loudspeaker and a microphone, and never twice alike."""

    @classmethod
    def somebody(cls, rng: np.random.Generator) -> Self:
        """Return a bot of few or many recordings; half of them play theirs every other time."""
        return cls(
            probes=int(rng.integers(2, 20, endpoint=True)),
            replayed=0.5 if rng.random() < 0.5 else 0.0,
        )

    def build(self, speech: Recordings, seed: int) -> HonestUser:
        """Return the bot; the seed chooses its recordings."""
        return MonitoringBot(self, speech, seed)


class MonitoringBot(HonestUser):
    """The same recordings in turn."""

    def __init__(self, spec: MonitoringBotSpec, speech: Recordings, seed: int) -> None:
        super().__init__(spec.kind, speech, seed)
        self.replayed = spec.replayed
        count = min(spec.probes, len(speech.clips))
        self.probes: np.ndarray = self.stream("probes").permutation(len(speech.clips))[:count]

    def say(self, query: int) -> Utterance:
        """Return the probe whose turn it is."""
        clip = int(self.probes[query % len(self.probes)])
        wave, rng = self.recording(clip), self.stream("clip", query)
        if rng.random() < self.replayed:
            wave = vary(wave, self.speech.sample_rate_hz, rng, snr_db=_PLAYED_DB)
        return Utterance(wave, int(self.speech.labels[clip]))
