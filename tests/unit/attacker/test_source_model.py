"""Source models: a labelled corpus, a checkpoint, and a training that goes on."""

from pathlib import Path

import pytest

from attacker.source_model import KIND, SourceTask, train_source_model
from shared import checkpoint
from shared.networks import copy_first_layers
from shared.training import Epoch
from tests.support.tables import write_proxy


@pytest.fixture
def task(tmp_path: Path) -> SourceTask:
    root = write_proxy(tmp_path / "speech", speakers=3, clips=30)
    return SourceTask.model_validate(
        {
            "corpus": {"kind": "speaker_tree", "root": str(root)},
            "sample_rate_hz": 4000,
            "clip_samples": 1024,
            "network": {"kind": "knagg_cnn", "filters": 4, "embedding": 8},
            "recipe": {"epochs": 3, "batch_size": 8},
        }
    )


def test_its_first_layers_can_be_copied_and_its_card_says_what_it_learnt(
    task: SourceTask, tmp_path: Path
) -> None:
    card = train_source_model(task, tmp_path / "model", tmp_path / "cache")
    assert (card["kind"], card["labels"], card["epochs"]) == (KIND, ["s0", "s1", "s2"], 3)
    assert 0 <= card["validation_accuracy"] <= 1
    tensors, _ = checkpoint.load(tmp_path / "model")
    victim = task.network.build(7)  # another number of speakers
    assert copy_first_layers(victim, tensors, 5)[-1] == "embedding"
    with pytest.raises(ValueError, match="head"):
        copy_first_layers(victim, tensors, 6)


def test_a_killed_training_ends_with_the_same_weights(task: SourceTask, tmp_path: Path) -> None:
    whole = train_source_model(task, tmp_path / "whole", tmp_path / "cache")

    def kill(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_source_model(task, tmp_path / "halves", tmp_path / "cache", on_epoch=kill)
    resumed = train_source_model(task, tmp_path / "halves", tmp_path / "cache")
    assert resumed[checkpoint.TENSORS_HASH] == whole[checkpoint.TENSORS_HASH]
    other = task.model_copy(update={"seed": 1})
    again = train_source_model(other, tmp_path / "other", tmp_path / "cache")
    assert again[checkpoint.TENSORS_HASH] != whole[checkpoint.TENSORS_HASH]
