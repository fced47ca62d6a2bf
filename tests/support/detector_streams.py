"""A made-up model and the streams of its users: speakers are directions of the embedding."""

from typing import Any

import numpy as np

from victim_service.detectors import Reference, Seen

RATE_HZ, SAMPLES = 4000, 1024
_SPEAKER, _CLIP = 3.0, 1.0
SMALL, LARGE = (30, 64), (1251, 128)
"""(K, E) of the sizes at which memory is counted."""


class World:
    """Clips whose embedding is their speaker's direction and something of their own."""

    def __init__(self, classes: int = 30, size: int = 64, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        directions = rng.normal(size=(classes, size))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        self.directions = (_SPEAKER * directions).astype(np.float32)
        labels = np.resize(np.arange(classes), max(300, min(classes, 600)))
        self.reference = Reference(self.speech(labels, seed=1), labels, RATE_HZ, b"salt")

    def seen(self, embeddings: np.ndarray, clips: np.ndarray) -> Seen:
        """What the model makes of clips with these embeddings."""
        rows = embeddings.astype(np.float32)
        logits = 4 * rows @ self.directions.T
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return Seen(rows, (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32), clips)

    def speech(self, labels: Any, seed: int) -> Seen:
        """Honest clips of ``labels``, no two alike."""
        rng = np.random.default_rng(seed)
        labels = np.asarray(labels)
        size = self.directions.shape[1]
        own = rng.normal(0, _CLIP / size**0.5, (len(labels), size))
        return self.seen(self.directions[labels] + own, tones(len(labels), rng))

    def one_speaker(self, clips: int, seed: int = 2) -> Seen:
        """An honest account."""
        return self.speech(np.full(clips, seed % len(self.directions)), seed)

    def two_speakers(self, clips: int, seed: int = 2) -> Seen:
        """An honest account of two people who take turns."""
        return self.speech(np.arange(clips) % 2, seed)

    def everybody(self, clips: int, seed: int = 3) -> Seen:
        """A thief who has clips of the victim's own kind."""
        labels = np.random.default_rng(seed).integers(len(self.directions), size=clips)
        return self.speech(labels, seed)

    def strangers(self, clips: int, seed: int = 4) -> Seen:
        """A thief with the speech of people whom the model does not know."""
        rng = np.random.default_rng(seed)
        rows = rng.normal(0, 0.1, (clips, self.directions.shape[1]))
        return self.seen(rows, tones(clips, rng))

    def jittered(self, clips: int, seed: int = 5, copies: int = 3) -> Seen:
        """A thief who sends every clip of everybody a few times, with tiny changes."""
        rng = np.random.default_rng(seed)
        windows = self.everybody(-(-clips // copies), seed)
        rows = np.repeat(windows.embeddings, copies, axis=0)[:clips]
        waves = np.repeat(windows.clips, copies, axis=0)[:clips]
        moved = rows + rng.normal(0, 0.002, rows.shape)
        return self.seen(moved, np.stack([jitter(wave, rng) for wave in waves]))

    def chain(self, clips: int, seed: int = 6) -> Seen:
        """A thief who steps from clip to clip along straight lines, as far each time."""
        rng = np.random.default_rng(seed)
        starts = self.directions[np.arange(clips) % 2]
        direction = rng.normal(size=self.directions.shape[1])
        direction /= np.linalg.norm(direction)
        strides = np.where(np.arange(clips) < clips // 8, 0.3, 0.02)
        far = np.cumsum(strides * (1 + 0.01 * rng.normal(size=clips)))
        return self.seen(starts + far[:, None] * direction[None] * 0.2, tones(clips, rng))


def tones(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return distinct clips (count, T): three tones that come and go, at levels of their own."""
    time_s = np.arange(SAMPLES) / RATE_HZ
    pitch = rng.uniform(80, 1800, (count, 3, 1))
    sway = np.sin(2 * np.pi * (rng.uniform(2, 12, (count, 3, 1)) * time_s) + pitch) ** 2
    waves = (sway * np.sin(2 * np.pi * pitch * time_s)).sum(axis=1)
    noise = rng.normal(0, 0.01, (count, SAMPLES))
    return np.clip(rng.uniform(0.05, 0.3, (count, 1)) * (waves + noise), -1, 1).astype(np.float32)


def jitter(
    wave: np.ndarray, rng: np.random.Generator, noise_db: float = 45, shift: int = 8
) -> np.ndarray:
    """Return ``wave`` (T,) half a decibel up or down, moved by up to 2 ms, over faint noise."""
    moved = np.roll(wave, rng.integers(-shift, shift, endpoint=True))
    level = 10 ** (rng.uniform(-0.5, 0.5) / 20)
    noise = rng.normal(size=len(wave)) * np.sqrt((wave**2).mean()) * 10 ** (-noise_db / 20)
    return (level * moved + noise).astype(np.float32)
