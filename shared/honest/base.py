"""What every honest user is: a pure function from the number of a clip to the clip and who speaks.

A victim has a few hundred clips to spare, and a user sends thousands. Nobody says the same thing
twice, so an utterance is spliced of two recordings of one speaker, at another place each time, and
every recording is a little earlier or later, louder or quieter, with a little noise.

Both sides know the same users: the operator fits detectors to them, made of validation clips, and
the laboratory sends them to a service, made of test clips.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from shared.audio import from_int16, to_int16
from shared.config import Frozen
from shared.seeding import numpy_stream

_FADE_S = 0.01
MAX_SHIFT_S = 0.05
GAIN_DB = 3.0
SNR_DB = (30.0, 45.0)
_SPLICE_WITHIN = (0.25, 0.75)
"""Share of the clip at which one recording gives way to the other."""


class Recordings(Protocol):
    """Speech of a victim's speakers: N clips that honest users are made of."""

    @property
    def clips(self) -> np.ndarray:
        """(N, T) int16."""

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64: who speaks."""

    @property
    def n_classes(self) -> int:
        """K."""

    @property
    def sample_rate_hz(self) -> int:
        """Of the clips."""

    @property
    def sha256(self) -> str:
        """Tells these recordings from others."""


class UserSpec(Frozen, ABC):
    """Base of the specs: ``kind`` and the fields of a habit. All defaults are our own choice."""

    kind: str

    @classmethod
    def somebody(cls, rng: np.random.Generator) -> Self:
        """Return the habits of one of many such users; the defaults are among them.

        Thresholds are fitted to many of these. The ranges are our own choice.
        """
        return cls.model_validate({"kind": cls.model_fields["kind"].default})

    @abstractmethod
    def build(self, speech: Recordings, seed: int) -> "HonestUser":
        """Return one user of this kind; another seed is another person."""


@dataclass(frozen=True)
class Utterance:
    """One clip before it leaves the user's microphone."""

    wave: np.ndarray
    """(T,) float32 in [-1, 1]."""
    label: int


class HonestUser(ABC):
    """A user whose clip q depends on (recordings, seed, q) alone."""

    def __init__(self, kind: str, speech: Recordings, seed: int) -> None:
        self.kind, self.speech, self.seed = kind, speech, seed
        self.clips_of = [np.flatnonzero(speech.labels == k) for k in range(speech.n_classes)]
        self.speakers = np.array([k for k, clips in enumerate(self.clips_of) if len(clips)])
        """Labels that have recordings."""

    def clips(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the clips (B, T) int16 of ``queries`` (B,), and who speaks (B,) int64."""
        said = [self.say(int(query)) for query in queries]
        waves = np.stack([np.clip(one.wave, -1, 1) for one in said])
        return to_int16(waves.astype(np.float32)), np.array([one.label for one in said])

    @abstractmethod
    def say(self, query: int) -> Utterance:
        """Return clip number ``query``."""

    def stream(self, *names: str | int) -> np.random.Generator:
        """Return a random stream of this user."""
        return numpy_stream(self.seed, "honest", self.kind, self.speech.sha256, *names)

    def recording(self, clip: int) -> np.ndarray:
        """Return clip ``clip`` (T,) as it was recorded, float32."""
        return from_int16(self.speech.clips[clip])

    def utterance(self, speaker: int, rng: np.random.Generator) -> np.ndarray:
        """Return something that ``speaker`` has not said before, (T,) float32."""
        own = self.clips_of[speaker]
        first, second = rng.choice(own, 2, replace=len(own) < 2)
        wave = _splice(
            self.recording(int(first)),
            self.recording(int(second)),
            int(rng.uniform(*_SPLICE_WITHIN) * self.speech.clips.shape[1]),
            max(1, round(_FADE_S * self.speech.sample_rate_hz)),
        )
        return vary(wave, self.speech.sample_rate_hz, rng)


def vary(
    wave: np.ndarray,
    sample_rate_hz: int,
    rng: np.random.Generator,
    snr_db: tuple[float, float] = SNR_DB,
) -> np.ndarray:
    """Return ``wave`` (T,) a little shifted, louder or quieter, and noisier."""
    reach = min(round(MAX_SHIFT_S * sample_rate_hz), len(wave) - 1)
    shift = int(rng.integers(-reach, reach, endpoint=True))
    padded = np.pad(wave, reach, mode="reflect")
    moved = padded[reach + shift : reach + shift + len(wave)]
    gain = 10 ** (rng.uniform(-GAIN_DB, GAIN_DB) / 20)
    return add_noise(moved * gain, float(rng.uniform(*snr_db)), rng)


def add_noise(wave: np.ndarray, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """Return ``wave`` (T,) with white noise ``snr_db`` below it."""
    level = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) * 10 ** (-snr_db / 20)
    noisy: np.ndarray = wave + level * rng.standard_normal(len(wave))
    return noisy


def _splice(first: np.ndarray, second: np.ndarray, at: int, fade: int) -> np.ndarray:
    """Return ``first`` up to sample ``at`` and ``second`` from there, faded over ``fade``."""
    share = np.clip((np.arange(len(first)) - at) / fade, 0, 1)
    spliced: np.ndarray = first * (1 - share) + second * share
    return spliced
