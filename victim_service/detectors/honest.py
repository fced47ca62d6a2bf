"""Honest traffic, made from recorded clips, that thresholds are fitted to.

A recording is never heard twice alike: it comes at another level, a little earlier or later, a
little slower or faster, over noise. So a pool of versions of each clip goes through the model once,
and the streams of all users are drawn from that pool.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from shared.audio import from_int16, to_int16
from shared.seeding import numpy_stream
from victim_service.detectors.base import Seen

Profile = Literal["single_speaker", "call_centre", "monitoring_bot", "drift_noise"]
PROFILES: tuple[Profile, ...] = get_args(Profile)

Network = Callable[[npt.NDArray[np.float32]], tuple[npt.NDArray[np.float32], ...]]
"""Clips (B, T) to embeddings (B, E) and probabilities (B, K)."""

NOISE_DB = ((25.0, 40.0), (20.0, 25.0), (15.0, 20.0), (10.0, 15.0))
"""Signal-to-noise ratio of each level of a recording's noise, from usual to poor."""
_VERSIONS = (8, 3, 3, 3)
"""Versions of each clip at each level."""
_MAX_GAIN_DB, _MAX_SHIFT_S, _MAX_SPEED = 6.0, 0.1, 1.05
_BATCH = 64
_CALL_CENTRE = (3, 8)
_CALL_CLIPS = (4, 12)
_BOT_CLIPS = (3, 10)


@dataclass(frozen=True)
class Pool:
    """M versions of recorded clips, as the model sees them."""

    embeddings: npt.NDArray[np.float32]
    """(M, E)"""
    probabilities: npt.NDArray[np.float32]
    """(M, K)"""
    clips: npt.NDArray[np.int16]
    """(M, T)"""
    speakers: npt.NDArray[np.int64]
    """(M,) who speaks."""
    recordings: npt.NDArray[np.int64]
    """(M,) which clip it is a version of."""
    levels: npt.NDArray[np.int64]
    """(M,) index into ``NOISE_DB``."""

    def stream(self, profile: Profile, clips: int, seed: int, number: int) -> Seen:
        """Return a stream of ``clips`` clips of user ``number`` of a profile."""
        rng = numpy_stream(seed, profile, number)
        chosen = np.fromiter(_USERS[profile](self, clips, number, rng), np.int64, clips)
        heard = from_int16(self.clips[chosen])
        return Seen(self.embeddings[chosen], self.probabilities[chosen], heard)

    def of(self, speaker: int, level: int) -> npt.NDArray[np.int64]:
        """Return the versions of a speaker's clips at a level of noise."""
        return np.flatnonzero((self.speakers == speaker) & (self.levels == level))


def make_pool(
    clips: npt.NDArray[np.float32],
    speakers: npt.NDArray[np.int64],
    sample_rate_hz: int,
    network: Network,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Pool:
    """Return the pool of ``clips`` (N, T) of ``speakers`` (N,); the model sees each version once.

    Versions are rounded to 16 bits, as they would be on their way.
    """
    levels = np.repeat(np.arange(len(NOISE_DB)), _VERSIONS)
    recordings = np.repeat(np.arange(len(clips)), len(levels))
    levels = np.tile(levels, len(clips))
    found = []
    kept = np.empty((len(recordings), clips.shape[1]), np.int16)
    for start in range(0, len(recordings), _BATCH):
        part = slice(start, start + _BATCH)
        rng = numpy_stream(seed, "versions", start)
        heard = hear(clips[recordings[part]], levels[part], sample_rate_hz, rng)
        found.append(network(heard))
        kept[part] = to_int16(heard)
        if progress is not None:
            progress(min(start + _BATCH, len(recordings)), len(recordings))
    embeddings, probabilities = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Pool(embeddings, probabilities, kept, speakers[recordings], recordings, levels)


def hear(
    clips: npt.NDArray[np.float32],
    levels: npt.NDArray[np.int64],
    sample_rate_hz: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Return ``clips`` (B, T) as a microphone hears them again, at ``levels`` (B,) of noise."""
    import torch  # takes seconds to import, and a service that only scores has it already

    from shared.augmentation import change_speed, shift_clips

    count = len(clips)
    reach = round(_MAX_SHIFT_S * sample_rate_hz)
    speeds = np.exp(rng.uniform(-1, 1, count) * np.log(_MAX_SPEED)).astype(np.float32)
    offsets = rng.integers(-reach, reach, count, endpoint=True)
    moved = shift_clips(
        change_speed(torch.from_numpy(clips), torch.from_numpy(speeds)), torch.from_numpy(offsets)
    ).numpy()
    lowest, highest = np.array(NOISE_DB)[levels].T
    noise_db = rng.uniform(lowest, highest)
    power = np.sqrt((clips**2).mean(axis=1)) * 10 ** (-noise_db / 20)
    noisy = moved + rng.normal(size=clips.shape) * power[:, None]
    gains = 10 ** (rng.uniform(-_MAX_GAIN_DB, _MAX_GAIN_DB, count) / 20)
    return from_int16(to_int16(np.clip(noisy * gains[:, None], -1, 1)))


def _speaker(pool: Pool, number: int) -> int:
    known = np.unique(pool.speakers)
    return int(known[number % len(known)])


def _single_speaker(pool: Pool, clips: int, number: int, rng: np.random.Generator) -> Iterator[int]:
    """One person, whoever that is, with a usual microphone."""
    yield from rng.choice(pool.of(_speaker(pool, number), 0), clips).tolist()


def _call_centre(pool: Pool, clips: int, number: int, rng: np.random.Generator) -> Iterator[int]:
    """A few people who call in turn, each with a few clips, over lines of two qualities."""
    known = np.unique(pool.speakers)
    several = rng.integers(*_CALL_CENTRE, endpoint=True)
    team = rng.choice(known, min(int(several), len(known)), replace=False)
    done = 0
    while done < clips:
        call = min(int(rng.integers(*_CALL_CLIPS, endpoint=True)), clips - done)
        lines = pool.of(int(rng.choice(team)), int(rng.integers(2)))
        yield from rng.choice(lines, call).tolist()
        done += call


def _monitoring_bot(pool: Pool, clips: int, number: int, rng: np.random.Generator) -> Iterator[int]:
    """A machine that plays the same few recordings again and again, half of the time as a file."""
    spoken = pool.recordings[pool.of(_speaker(pool, number), 0)]
    some = rng.choice(np.unique(spoken), int(rng.integers(*_BOT_CLIPS, endpoint=True)))
    for place in range(clips):
        versions = np.flatnonzero((pool.recordings == some[place % len(some)]) & (pool.levels == 0))
        yield int(versions[0] if rng.random() < 0.5 else rng.choice(versions))


def _drift_noise(pool: Pool, clips: int, number: int, rng: np.random.Generator) -> Iterator[int]:
    """One person whose surroundings become louder and calmer again, slowly."""
    phase = rng.uniform(0, 2 * np.pi)
    period = rng.uniform(150, 600)
    versions = [pool.of(_speaker(pool, number), level) for level in range(len(NOISE_DB))]
    for place in range(clips):
        loudness = (1 - np.cos(phase + 2 * np.pi * place / period)) / 2
        yield int(rng.choice(versions[min(int(loudness * len(NOISE_DB)), len(NOISE_DB) - 1)]))


_USERS: dict[Profile, Callable[[Pool, int, int, np.random.Generator], Iterator[int]]] = {
    "single_speaker": _single_speaker,
    "call_centre": _call_centre,
    "monitoring_bot": _monitoring_bot,
    "drift_noise": _drift_noise,
}
