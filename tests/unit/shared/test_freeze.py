"""Frozen layers: weights and batch statistics that no training moves."""

from pathlib import Path

import numpy as np
import pytest
import torch

from shared.networks import KnaggCNN, KnaggCNNSpec
from shared.training import ArrayClips, Recipe, fit


def network() -> KnaggCNN:
    torch.manual_seed(0)
    return KnaggCNNSpec(filters=4, embedding=6).build(3)


def clips(seed: int) -> ArrayClips:
    rng = np.random.default_rng(seed)
    return ArrayClips(rng.normal(0, 0.3, (24, 256)).astype(np.float32), rng.integers(0, 3, 24))


def train(model: KnaggCNN, epochs: int, folder: Path | None = None) -> None:
    fit(model, clips(0), clips(1), Recipe(epochs=epochs, batch_size=8), seed=0, folder=folder)


def test_frozen_layers_keep_weights_and_statistics_and_the_others_do_not() -> None:
    model = network()
    model.freeze(model.LAYERS[:2])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, 2)
    moved = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert not {name for name in moved if name.startswith(("conv1.", "conv2."))}
    assert {name.split(".")[0] for name in moved} == {"conv3", "conv4", "embedding", "head"}
    assert any("running_mean" in name for name in moved)


def test_frozen_layers_stay_in_evaluation_mode() -> None:
    model = network()
    model.train()
    model.freeze(["conv1"])
    assert not model.conv1.training
    assert model.conv2.training
    model.eval()
    model.train()
    assert not model.conv1[1].training
    assert network().train().conv1.training  # another network is another matter


def test_a_training_with_frozen_layers_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, halves = network(), network()
    for model in (whole, halves):
        model.freeze(["conv1"])
    train(whole, 3, tmp_path / "whole")

    class Killed(Exception):  # noqa: N818
        pass

    def kill(epoch: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        fit(
            halves, clips(0), clips(1), Recipe(epochs=3, batch_size=8),
            seed=0, folder=tmp_path / "halves", on_epoch=kill,
        )  # fmt: skip
    resumed = network()
    resumed.freeze(["conv1"])
    train(resumed, 3, tmp_path / "halves")
    for name, value in whole.state_dict().items():
        assert value.equal(resumed.state_dict()[name]), name
