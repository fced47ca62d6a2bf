from pathlib import Path

import numpy as np
import pytest

import attacker.wavegan
from attacker.wavegan.config import TrainGanFile
from attacker.wavegan.generator import LoadedGenerator, load_generator
from attacker.wavegan.health import spectral_spread
from shared.config import load_yaml

PACKAGE = Path(attacker.wavegan.__file__).parent
FOLDER = PACKAGE / "generators" / "desk"


@pytest.fixture(scope="module")
def desk() -> LoadedGenerator:
    return load_generator(FOLDER)


def test_size_on_disk_and_in_parameters(desk: LoadedGenerator) -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2_000_000
    assert sum(parameter.numel() for parameter in desk.network.parameters()) == 476_161


def test_the_card_names_its_origin(desk: LoadedGenerator) -> None:
    plan = load_yaml(PACKAGE / "configs" / "desk.yaml", TrainGanFile)
    assert desk.card["corpus"] == plan.corpus.model_dump(mode="json")
    assert desk.card["config"] == {**plan.gan.model_dump(mode="json"), "steps": desk.card["steps"]}
    config = "attacker/wavegan/configs/desk.yaml"
    command = f"earshot-attacker train-gan {config} --out runs/gan-desk"
    shorter = f" --steps {desk.card['steps']}" if desk.card["steps"] != plan.gan.steps else ""
    assert desk.card["command"] == command + shorter
    assert len(desk.card["corpus_manifest_sha256"]) == 64


def test_its_clips_are_loud_unclipped_and_diverse(desk: LoadedGenerator) -> None:
    clips = desk.render(1, np.arange(64))
    assert clips.shape == (64, 4096)
    rms = np.sqrt(np.square(clips).mean(axis=1))
    assert 0.03 < np.median(rms) < 0.5
    assert (np.abs(clips) > 0.999).mean() < 0.01
    noise = np.random.default_rng(0).normal(0, 0.1, clips.shape).astype(np.float32)
    assert spectral_spread(clips, 4000) > 1.5 * spectral_spread(noise, 4000)
    assert desk.card["health"]["diversity"] > 0.2
