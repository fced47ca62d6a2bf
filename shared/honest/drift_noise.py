"""`drift_noise`: a few people whose room grows louder and whose microphone grows dull."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from shared.honest.base import HonestUser, Recordings, UserSpec, Utterance, add_noise


class DriftNoiseSpec(UserSpec):
    """A household whose sound drifts away from what the victim was trained on.

    Over ``period`` clips the noise rises from ``quiet_db`` to ``loud_db`` below speech and the
    treble falls by ``dull_db``; then all of it goes back, and comes again.
    """

    kind: Literal["drift_noise"] = "drift_noise"
    speakers: int = Field(default=4, ge=1, le=1000)
    period: int = Field(default=1000, ge=1)
    quiet_db: float = Field(default=35.0, ge=-10, le=90)
    loud_db: float = Field(default=15.0, ge=-10, le=90)
    dull_db: float = Field(default=12.0, ge=0, le=60)
    """What half the sample rate loses at the worst; lower frequencies lose in proportion."""

    @model_validator(mode="after")
    def _grows_louder(self) -> Self:
        if self.loud_db > self.quiet_db:
            raise ValueError(
                f"loud_db is {self.loud_db:g} and quiet_db {self.quiet_db:g}: both say how far "
                "noise lies below speech, so loud_db is the smaller. Exchange them"
            )
        return self

    @classmethod
    def somebody(cls, rng: np.random.Generator) -> Self:
        """Return a household that is small or large, and whose room changes soon or late."""
        return cls(
            speakers=int(rng.integers(1, 6, endpoint=True)),
            period=int(rng.integers(100, 1500, endpoint=True)),
            loud_db=float(rng.uniform(10, 20)),
            dull_db=float(rng.uniform(0, 18)),
        )

    def build(self, speech: Recordings, seed: int) -> HonestUser:
        """Return the household; the seed chooses its speakers."""
        return DriftNoise(self, speech, seed)


class DriftNoise(HonestUser):
    """Utterances of a few speakers through a sound that drifts."""

    def __init__(self, spec: DriftNoiseSpec, speech: Recordings, seed: int) -> None:
        super().__init__(spec.kind, speech, seed)
        self.spec = spec
        self.household = self.stream("household").permutation(self.speakers)[: spec.speakers]
        self._height = np.linspace(0, 1, speech.clips.shape[1] // 2 + 1)

    def drift(self, query: int) -> float:
        """Return how far the sound has drifted, from 0 to 1 and back."""
        turn, place = divmod(query, self.spec.period)
        share = place / self.spec.period
        return 1 - share if turn % 2 else share

    def say(self, query: int) -> Utterance:
        """Return what one of the household says in the room as it is by then."""
        rng, spec, drift = self.stream("clip", query), self.spec, self.drift(query)
        speaker = int(rng.choice(self.household))
        wave = self.utterance(speaker, rng)
        loss = 10 ** (-spec.dull_db * drift * self._height / 20)
        dull = np.fft.irfft(np.fft.rfft(wave) * loss, len(wave))
        snr_db = spec.quiet_db + (spec.loud_db - spec.quiet_db) * drift
        return Utterance(add_noise(dull, snr_db, rng), speaker)
