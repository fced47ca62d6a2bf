"""Tests of the laboratory itself: noise steals nothing, and the victim's own clips steal it all."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from attacker.experiment import Experiment
from attacker.journal import Journal
from attacker.live import CampaignView, View
from attacker.material import Material
from attacker.run_folder import RunFolder
from attacker.surrogate import load_surrogate
from attacker.theft import buy, train_surrogates
from shared.audio import from_int16
from shared.contract import ModelCard
from shared.corpora import SubsetSpec, VoicesSpec
from shared.corpora.store import ClipStore
from shared.metrics import bootstrap
from shared.networks import KnaggCNNSpec, SpeakerNetwork
from shared.training import ArrayClips, Recipe, fit, predict
from tests.support.fake_oracle import FakeOracle

RATE_HZ, SAMPLES, K = 4000, 4096, 8
VOICES = VoicesSpec(cast="victim", speakers=K, clips_per_speaker=60)
NETWORK = KnaggCNNSpec(filters=16, embedding=32)
RECIPE = Recipe(
    epochs=14,
    batch_size=32,
    learning_rate=5e-3,
    schedule="one_cycle",
    patience=14,
    max_shift_samples=400,
)
QUERIES = 864
"""Three windows of each of the victim's training clips."""


@dataclass
class TrainedVictim(FakeOracle):
    """An oracle that answers with a trained network."""

    network: SpeakerNetwork | None = None
    slow: bool = False

    async def card(self) -> ModelCard:
        card = await super().card()
        return card.model_copy(update={"sample_rate_hz": RATE_HZ, "clip_samples": SAMPLES})

    def answers(self, clips: np.ndarray) -> np.ndarray:
        assert self.network is not None
        return predict(self.network, from_int16(clips))


@dataclass
class Laboratory:
    victim: TrainedVictim
    test: ArrayClips
    cache: Path

    def accuracy(self, model: SpeakerNetwork) -> tuple[float, float, float]:
        hits = predict(model, self.test).argmax(axis=1) == self.test.targets
        found = bootstrap(hits, seed=0)
        return found.value, found.low, found.high


def part(name: str, cache: Path) -> ArrayClips:
    corpus = SubsetSpec.model_validate({"of": VOICES.model_dump(), "part": name}).build(cache)
    store = ClipStore.open(corpus, RATE_HZ, cache)
    labels = np.array([corpus.speakers.index(clip.speaker) for clip in store.clips])
    return ArrayClips(store.fixed_crops(np.arange(len(store)), SAMPLES), labels)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    cache = tmp_path_factory.mktemp("cache")
    torch.manual_seed(0)
    network = NETWORK.build(K)
    fit(network, part("train", cache), part("validation", cache), RECIPE, seed=0)
    return Laboratory(TrainedVictim(n_classes=K, network=network), part("test", cache), cache)


def steal(laboratory: Laboratory, source: str, folder: Path) -> SpeakerNetwork:
    """Run an ordinary campaign of ``source`` with the victim's own training part as the proxy."""
    experiment = Experiment.model_validate(
        {
            "name": "laboratory",
            "proxy": {"kind": "subset", "of": VOICES.model_dump(), "part": "train"},
            "budget": QUERIES,
            "campaigns": [
                {"name": "attack", "source": {"kind": source}, "sampler": {"kind": "keep_all"}}
            ],
            "surrogate": {"network": NETWORK.model_dump(), "recipe": RECIPE.model_dump()},
        }
    )
    (campaign,) = experiment.campaigns
    view = View(Console(quiet=True))

    async def run() -> Material:
        card = await laboratory.victim.card()
        material = Material(experiment, card, laboratory.cache)
        await buy(
            material,
            campaign,
            material.source(campaign),
            material.sampler(campaign),
            laboratory.victim,
            RunFolder(folder),
            CampaignView(view, "attack", K),
        )
        return material

    train_surrogates(asyncio.run(run()), campaign, RunFolder(folder), view)
    assert len(Journal.read(folder / "attack").rows().labels) == QUERIES
    return load_surrogate(RunFolder(folder).surrogate("attack", QUERIES))[0]


@pytest.mark.timeout(900)
def test_the_victims_own_training_clips_steal_it_within_three_points(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    assert laboratory.victim.network is not None
    victim, _, _ = laboratory.accuracy(laboratory.victim.network)
    stolen, _, _ = laboratory.accuracy(steal(laboratory, "proxy", tmp_path))
    assert victim >= 0.9
    assert stolen >= victim - 0.03


@pytest.mark.timeout(900)
def test_noise_steals_nothing(laboratory: Laboratory, tmp_path: Path) -> None:
    _, low, high = laboratory.accuracy(steal(laboratory, "gaussian_noise", tmp_path))
    assert low <= 1 / K
    assert high <= 2 / K
