"""The loop of SGD: its arithmetic, its schedule, and a resume that changes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attacker.lab.vision import sgd
from attacker.lab.vision.sgd import LabelledImages, SgdEpoch, SgdRecipe, predict, train
from shared.config import ConfigError, validate
from shared.networks import WideResNetSpec
from shared.seeding import numpy_stream
from shared.training_state import STATE_NAME, TrainingError

SMALL = SgdRecipe(epochs=4, batch_size=8, drop_after_epochs=(2,))


class Linear(nn.Module):
    """A network whose gradients are plain to follow."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(images.flatten(1))
        return logits


def images(count: int = 19, side_px: int = 2, soft: bool = False) -> LabelledImages:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pixels = (
        rng.integers(0, 80, (count, side_px, side_px, 3)) + 150 * np.eye(3)[labels][:, None, None]
    )
    targets = np.eye(3, dtype=np.float32)[labels] * 0.7 + 0.1 if soft else labels.astype(np.int64)
    return LabelledImages(pixels.astype(np.uint8), targets.astype(np.float32) if soft else targets)


def network() -> nn.Module:
    torch.manual_seed(0)
    return WideResNetSpec(depth=10, width=1, dropout=0.3).build(3)


def test_the_published_recipe_is_the_default() -> None:
    recipe = SgdRecipe()
    assert (recipe.epochs, recipe.batch_size, recipe.momentum) == (200, 128, 0.9)
    assert recipe.weight_decay == 5e-4
    assert [recipe.rate_of(n) for n in (1, 60, 61, 120, 121, 200)] == pytest.approx(
        [0.1, 0.1, 0.02, 0.02, 0.004, 0.004]
    )


@pytest.mark.parametrize("soft", [False, True])
def test_steps_are_those_of_sgd_with_momentum_and_decay(tmp_path: Path, soft: bool) -> None:
    torch.manual_seed(3)
    model, given = Linear(), images(soft=soft)
    recipe = SgdRecipe(epochs=3, batch_size=8, weight_decay=0.01, drop_after_epochs=(1,))
    weights = {name: value.detach().clone() for name, value in model.named_parameters()}
    speed = {name: torch.zeros_like(value) for name, value in weights.items()}
    x = torch.from_numpy(given.pixels).permute(0, 3, 1, 2).flatten(1) / 255
    targets, losses = torch.from_numpy(given.targets), []
    for epoch, rate in ((1, 0.1), (2, 0.02), (3, 0.02)):
        order, total = numpy_stream(5, "order", epoch).permutation(19), 0.0
        for part in (order[:8], order[8:16], order[16:]):
            leaves = {name: value.requires_grad_() for name, value in weights.items()}
            logits = F.linear(x[part], leaves["layer.weight"], leaves["layer.bias"])
            loss = F.cross_entropy(logits, targets[part])
            slopes = torch.autograd.grad(loss, list(leaves.values()))
            total += float(loss.detach()) * len(part)
            with torch.no_grad():
                for name, slope in zip(leaves, slopes, strict=True):
                    speed[name] = 0.9 * speed[name] + slope + 0.01 * weights[name]
                    weights[name] = (weights[name] - rate * speed[name]).detach()
        losses.append(total / 19)
    epochs = train(model, given, recipe, seed=5, folder=tmp_path)
    for name, value in model.named_parameters():
        torch.testing.assert_close(value, weights[name], atol=1e-6, rtol=1e-5)
    assert [epoch.train_loss for epoch in epochs] == pytest.approx(losses, rel=1e-5)


def test_a_killed_training_ends_with_the_very_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = images(side_px=8)
    whole, killed = network(), network()
    expected = train(whole, given, SMALL, seed=1, folder=tmp_path / "whole")

    def die(epoch: SgdEpoch) -> None:
        monkeypatch.setattr(sgd, "SAVE_EVERY_S", 3600.0)  # so that the next epoch is not saved
        if epoch.number == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(sgd, "SAVE_EVERY_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(killed, given, SMALL, seed=1, folder=tmp_path / "killed", on_epoch=die)
    assert not (tmp_path / "whole").exists()  # it took less than a minute
    told: list[int] = []
    torch.manual_seed(99)
    resumed = WideResNetSpec(depth=10, width=1, dropout=0.3).build(3)
    epochs = train(
        resumed,
        given,
        SMALL,
        seed=1,
        folder=tmp_path / "killed",
        on_epoch=lambda epoch: told.append(epoch.number),
    )
    assert told == [2, 3, 4]  # epoch 2 was not saved, so it is made again
    assert [e.train_loss for e in epochs] == [e.train_loss for e in expected]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_training_learns_and_another_seed_learns_otherwise(tmp_path: Path) -> None:
    given = images(side_px=8)
    one, other = network(), network()
    epochs = train(one, given, SMALL, seed=1, folder=tmp_path / "1")
    train(other, given, SMALL, seed=2, folder=tmp_path / "2")
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4]
    assert epochs[-1].train_loss < 0.6 * epochs[0].train_loss
    assert not torch.equal(one.conv1.weight, other.conv1.weight)  # type: ignore[union-attr, arg-type]
    assert not one.training


def test_answers_do_not_depend_on_their_batch() -> None:
    given, model = images(side_px=8), network()
    answers = predict(model, given.pixels)
    assert answers.shape == (19, 3)
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(predict(model, given.pixels, batch_size=4), answers, atol=1e-6)


def test_bfloat16_computes_nearly_the_same(tmp_path: Path) -> None:
    given = images(side_px=8)
    losses = [
        train(
            network(),
            given,
            SMALL.model_copy(update={"epochs": 1, "precision": precision}),
            seed=1,
            folder=tmp_path / precision,
        )[0].train_loss
        for precision in ("fp32", "bf16")
    ]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_a_last_batch_of_one_image_joins_the_one_before(tmp_path: Path) -> None:
    sizes: list[int] = []
    model = network()
    model.register_forward_hook(lambda _m, given, _out: sizes.append(len(given[0])))
    one_epoch = SMALL.model_copy(update={"epochs": 1})
    train(model, images(17, 8), one_epoch, seed=1, folder=tmp_path)
    assert sorted(sizes) == [8, 9]


def test_a_loss_that_explodes_is_said(tmp_path: Path) -> None:
    recipe = SgdRecipe(epochs=3, learning_rate=1e30, drop_after_epochs=())
    with pytest.raises(TrainingError, match=r"not finite in epoch \d.*Lower recipe.learning_rate"):
        train(network(), images(side_px=8), recipe, seed=1, folder=tmp_path)
    with pytest.raises(TrainingError, match="1 images are too few"):
        train(network(), images(1), SMALL, seed=1, folder=tmp_path)


def test_a_state_of_another_training_or_an_altered_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sgd, "SAVE_EVERY_S", 0.0)
    given, path = images(side_px=8), tmp_path / STATE_NAME
    train(network(), given, SMALL, seed=1, folder=tmp_path)
    for other, seed in ((SMALL, 2), (SMALL.model_copy(update={"momentum": 0.5}), 1)):
        with pytest.raises(TrainingError, match="another training"):
            train(network(), given, other, seed=seed, folder=tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(TrainingError, match="altered"):
        train(network(), given, SMALL, seed=1, folder=tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 20},  # the drops of 200 epochs
        {"drop_after_epochs": [120, 60]},
        {"drop_after_epochs": [0]},
        {"learning_rate": 0},
        {"momentum": 1},
        {"augment": True},
    ],
)
def test_a_wrong_recipe_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        validate(wrong, SgdRecipe, origin="x.yaml")
