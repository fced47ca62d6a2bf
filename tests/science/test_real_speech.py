"""Real speech under EARSHOT_DATA: the corpora are read whole, and a victim learns them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.corpora import SpeakerTreeSpec
from shared.corpora.split import split_by_speaker
from shared.corpora.store import ClipStore
from shared.metrics import accuracy
from shared.networks import KnaggCNNSpec
from shared.training import ArrayClips, Recipe, fit, predict

pytestmark = pytest.mark.speech
RATE_HZ, SAMPLES, SPEAKERS = 4000, 4096, 8


@pytest.fixture(scope="module")
def asc(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return opened("asc", tmp_path_factory.mktemp("cache"))


def opened(name: str, cache: Path) -> ClipStore:
    corpus = SpeakerTreeSpec(root=str(Path(os.environ["EARSHOT_DATA"]) / name)).build(cache)
    return ClipStore.open(corpus, RATE_HZ, cache)


def test_asc_is_read_whole(asc: ClipStore) -> None:
    assert len(asc.clips) == 4800
    assert not asc.skipped
    assert len({clip.speaker for clip in asc.clips}) == 30
    assert set(asc.lengths.tolist()) == {RATE_HZ}
    split = split_by_speaker(asc.clips, seed=0)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [2880, 960, 960]


def test_wakewords_are_read_whole(tmp_path: Path) -> None:
    store = opened("wakewords", tmp_path)
    assert len(store.clips) + len(store.skipped) == 1196
    assert store.lengths.sum() / RATE_HZ == pytest.approx(3543, rel=0.02)


def test_a_small_victim_learns_real_speakers(asc: ClipStore) -> None:
    names = sorted({clip.speaker for clip in asc.clips})[:SPEAKERS]
    split = split_by_speaker(asc.clips, seed=0)

    def part(indices: tuple[int, ...]) -> ArrayClips:
        chosen = [i for i in indices if asc.clips[i].speaker in names]
        labels = np.array([names.index(asc.clips[i].speaker) for i in chosen])
        return ArrayClips(asc.fixed_crops(np.array(chosen), SAMPLES), labels)

    torch.manual_seed(0)
    model = KnaggCNNSpec(filters=16, embedding=32).build(SPEAKERS)
    recipe = Recipe(
        epochs=6, batch_size=32, learning_rate=5e-3, schedule="one_cycle", max_shift_samples=400
    )
    fit(model, part(split.train), part(split.validation), recipe, seed=0)
    test = part(split.test)
    assert accuracy(predict(model, test).argmax(1), test.targets) >= 0.7
