"""A proxy corpus in memory, and every source of the package on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attacker.sources import SourceContext
from attacker.sources.amplify import AmplifySpec
from attacker.sources.blinding import BlindingSpec
from attacker.sources.camouflage import CamouflageSpec
from attacker.sources.chain import ChainSpec
from attacker.sources.filter import FilterSpec
from attacker.sources.gaussian_noise import GaussianNoiseSpec
from attacker.sources.interpolate import InterpolateSpec
from attacker.sources.jitter import JitterSpec
from attacker.sources.mix_noise import MixNoiseSpec
from attacker.sources.pitch_shift import PitchShiftSpec
from attacker.sources.proxy import ProxySpec
from attacker.sources.reverb import ReverbSpec
from attacker.sources.speed import SpeedSpec
from attacker.sources.wavegan import WaveganSpec
from attacker.wavegan.generator import save_generator
from attacker.wavegan.networks import Generator, initialise
from shared.audio import to_wav
from shared.corpora import Clip, Corpus
from shared.corpora.store import ClipStore

RATE_HZ, SAMPLES = 4000, 1024


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """Return seven clips of different lengths, each a tone of its own; the last is half silent.

    A little noise tells the windows of one tone apart.
    """
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("proxy")
    clips = []
    for number in range(7):
        length = 700 + 500 * number
        wave = 0.3 * np.sin(2 * np.pi * (200 + 70 * number) * np.arange(length) / RATE_HZ)
        wave += rng.normal(0, 0.01, length)
        if number == 6:
            wave[: length // 2] = 0
        path = root / f"s{number % 2}" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(to_wav(wave.astype(np.float32), RATE_HZ))
        clips.append(Clip(path.parent.name, path, path.relative_to(root).as_posix()))
    corpus = Corpus("tones", tuple(clips))
    return ClipStore.open(corpus, RATE_HZ, root / "cache")


@pytest.fixture(scope="session")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an untrained generator of the smallest width."""
    folder = tmp_path_factory.mktemp("generator")
    network = Generator(1, 4, SAMPLES)
    initialise(network, torch.Generator().manual_seed(0))
    save_generator(folder, network, {"config": {"dim": 1}, "sample_rate_hz": RATE_HZ})
    return folder


@pytest.fixture
def context(store: ClipStore) -> Callable[..., SourceContext]:
    """Return a maker of source contexts."""

    def make(**changes: Any) -> SourceContext:
        facts = {"sample_rate_hz": RATE_HZ, "clip_samples": SAMPLES, "seed": 5}
        return SourceContext(**{**facts, "open_proxy": lambda: store, **changes})

    return make


@pytest.fixture
def table(generator: Path) -> dict[str, Any]:
    """Return one spec of every kind of source."""
    return {
        "proxy": ProxySpec(),
        "amplify": AmplifySpec(probability=0.5, max_gain=20),
        "pitch_shift": PitchShiftSpec(probability=0.5, sigma_semitones=2),
        "speed": SpeedSpec(probability=0.5, factors=(0.7, 1.5)),
        "filter": FilterSpec(probability=0.5, low_pass_hz=(600, 4000), high_pass_hz=(50, 500)),
        "reverb": ReverbSpec(probability=0.5, rt60_s=(0.05, 1)),
        "mix_noise": MixNoiseSpec(probability=0.5),
        "chain": ChainSpec(
            links=(MixNoiseSpec(), SpeedSpec(), PitchShiftSpec(probability=0.5), ReverbSpec())
        ),
        "jitter": JitterSpec(),
        "blinding": BlindingSpec(copies=2),
        "camouflage": CamouflageSpec(share=0.3, source=JitterSpec()),
        "interpolate": InterpolateSpec(),
        "gaussian_noise": GaussianNoiseSpec(sigma=0.5),
        "wavegan": WaveganSpec(generator=str(generator)),
    }
