from pathlib import Path

import numpy as np
import pytest

from attacker.wavegan.config import GanConfig, HealthLimits
from shared.audio import to_wav
from shared.corpora import SpeakerTreeSpec
from shared.corpora.store import ClipStore

RATE = 4000


def write_corpus(root: Path, clips: int = 6) -> None:
    """Two speakers of noisy tones of unlike pitch and level, each clip led by silence."""
    rng = np.random.default_rng(0)
    for speaker, pitch_hz in (("ann", 180.0), ("bob", 700.0)):
        (root / speaker).mkdir(parents=True)
        for number in range(clips):
            time = np.arange(1200) / RATE
            wave = np.sin(2 * np.pi * (pitch_hz + 20 * number) * time)
            wave = 0.1 * (number + 1) * wave + 0.02 * rng.standard_normal(len(time))
            whole = np.concatenate([np.zeros(600), wave]).astype(np.float32)
            (root / speaker / f"{number}.wav").write_bytes(to_wav(whole, RATE))


@pytest.fixture(scope="session")
def corpus_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    write_corpus(root)
    return root


@pytest.fixture(scope="session")
def store(corpus_root: Path, tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    corpus = SpeakerTreeSpec(kind="speaker_tree", root=str(corpus_root)).build(corpus_root)
    return ClipStore.open(corpus, RATE, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def config() -> GanConfig:
    """A training of milliseconds a step."""
    return GanConfig(
        clip_samples=256,
        dim=2,
        latent=4,
        steps=6,
        batch_size=4,
        learning_rate=1e-3,
        seed=5,
        checkpoint_every=2,
        preview_every=1000,
        log_every=1,
        health=HealthLimits(every=3, clips=8),
    )
