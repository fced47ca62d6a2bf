from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shared.networks import KnaggCNNSpec
from shared.training import (
    ArrayClips,
    Epoch,
    Recipe,
    TrainingError,
    fit,
    learning_rate_at,
    predict,
    shift_clips,
)

T, K = 256, 3
FAST = Recipe(epochs=6, batch_size=8, learning_rate=5e-3, schedule="one_cycle", max_shift_samples=9)


def tones(n: int, seed: int) -> ArrayClips:
    """K classes of tones in noise, learnable in a few epochs."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % K
    time = np.arange(T)[None, :]
    frequency = (0.05 + 0.1 * labels)[:, None]
    phase = rng.uniform(0, 6, (n, 1))
    clips = 0.3 * np.sin(2 * np.pi * frequency * time + phase) + 0.02 * rng.normal(size=(n, T))
    return ArrayClips(clips.astype(np.float32), labels)


def network() -> nn.Module:
    torch.manual_seed(1)
    return KnaggCNNSpec(filters=4, embedding=4).build(K)


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert all(torch.equal(left[name], right[name]) for name in right)


def test_it_learns_and_reports() -> None:
    model, seen = network(), []
    result = fit(model, tones(60, 0), tones(30, 1), FAST, seed=0, on_epoch=seen.append)
    assert result.best.validation_accuracy >= 0.9
    assert list(result.epochs) == seen
    assert not model.training
    probabilities = predict(model, tones(30, 2).clips)
    assert probabilities.shape == (30, K)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (probabilities.argmax(1) == tones(30, 2).targets).mean() >= 0.9


def test_soft_targets_give_the_gradient_of_cross_entropy_with_probabilities() -> None:
    hard = tones(24, 0)
    soft = ArrayClips(hard.clips, np.eye(K, dtype=np.float32)[hard.targets])
    models = [network(), network()]
    for model, source in zip(models, (hard, soft), strict=True):
        fit(model, source, hard, FAST.model_copy(update={"epochs": 1}), seed=3)
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_int16_clips_are_the_same_clips() -> None:
    source = tones(8, 0)
    stored = ArrayClips(np.round(source.clips * 32768).astype(np.int16), source.targets)
    clips, _ = stored.batch(np.arange(8), None)
    np.testing.assert_allclose(clips.numpy(), source.clips, atol=1 / 32768)


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_killed_fit_resumes_to_the_same_weights(tmp_path: Path, stop_after: int) -> None:
    class KilledError(Exception):
        pass

    def kill(epoch: Epoch) -> None:
        if epoch.number == stop_after:
            raise KilledError

    train, validation = tones(30, 0), tones(9, 1)
    whole = network()
    expected = fit(whole, train, validation, FAST, seed=5)
    with pytest.raises(KilledError):
        fit(network(), train, validation, FAST, seed=5, folder=tmp_path, on_epoch=kill)
    resumed = network()
    with torch.no_grad():
        for value in resumed.parameters():
            value.zero_()  # what it starts from must not matter
    result = fit(resumed, train, validation, FAST, seed=5, folder=tmp_path)
    assert_same(weights_of(whole), weights_of(resumed))
    assert [e.train_loss for e in result.epochs] == [e.train_loss for e in expected.epochs]
    assert list(tmp_path.glob("tensorboard/events*"))


def test_a_state_of_another_training_is_refused(tmp_path: Path) -> None:
    train, validation = tones(30, 0), tones(9, 1)
    fit(network(), train, validation, FAST, seed=5, folder=tmp_path)
    with pytest.raises(TrainingError, match="another"):
        fit(network(), train, validation, FAST, seed=6, folder=tmp_path)


def test_the_best_epoch_is_kept_and_training_stops_early() -> None:
    rng = np.random.default_rng(0)
    noise = ArrayClips(
        rng.normal(size=(32, T)).astype(np.float32) * 0.1, rng.integers(0, K, size=32)
    )
    recipe = Recipe(epochs=40, batch_size=8, learning_rate=1e-2, patience=3)
    model = network()
    snapshots: dict[int, dict[str, torch.Tensor]] = {}
    result = fit(
        model, noise, tones(30, 1), recipe, seed=0,
        on_epoch=lambda epoch: snapshots.__setitem__(epoch.number, weights_of(model)),
    )  # fmt: skip
    assert result.stopped_early
    assert len(result.epochs) == result.best_epoch + 3
    assert_same(snapshots[result.best_epoch], weights_of(model))
    assert result.best.validation_accuracy == max(e.validation_accuracy for e in result.epochs)


def test_the_seed_decides_everything() -> None:
    def train(seed: int) -> dict[str, torch.Tensor]:
        model = network()
        fit(model, tones(30, 0), tones(9, 1), FAST.model_copy(update={"epochs": 1}), seed=seed)
        return weights_of(model)

    assert_same(train(1), train(1))
    assert not torch.equal(train(1)["head.weight"], train(2)["head.weight"])


def test_a_diverged_loss_stops_with_advice() -> None:
    clips = ArrayClips(np.full((8, T), np.nan, np.float32), np.zeros(8, np.int64))
    with pytest.raises(TrainingError, match="learning_rate"):
        fit(network(), clips, tones(9, 1), FAST, seed=0)


def test_too_few_clips() -> None:
    with pytest.raises(TrainingError, match="too few"):
        fit(network(), tones(1, 0), tones(9, 1), FAST, seed=0)


def test_a_last_batch_of_one_clip_joins_the_one_before() -> None:
    fit(network(), tones(9, 0), tones(9, 1), Recipe(epochs=1, batch_size=4), seed=0)


def test_one_cycle_rises_and_falls() -> None:
    rates = [learning_rate_at(FAST, step, 100) for step in range(100)]
    top = int(np.argmax(rates))
    assert top == 30
    assert rates[top] == pytest.approx(FAST.learning_rate)
    assert all(a < b for a, b in pairwise(rates[: top + 1]))
    assert all(a > b for a, b in pairwise(rates[top:]))
    assert rates[-1] == pytest.approx(FAST.learning_rate / 1e4)
    assert learning_rate_at(Recipe(learning_rate=0.5), 7, 10) == 0.5


def test_shift_delays_and_leaves_silence() -> None:
    clips = torch.arange(1.0, 6.0).repeat(3, 1)
    shifted = shift_clips(clips, torch.tensor([2, 0, -1]))
    assert shifted.tolist() == [[0, 0, 1, 2, 3], [1, 2, 3, 4, 5], [2, 3, 4, 5, 0]]


@pytest.mark.parametrize("damage", ["a changed byte", "a missing end"])
def test_an_altered_state_is_refused(tmp_path: Path, damage: str) -> None:
    train, validation = tones(30, 0), tones(9, 1)
    fit(network(), train, validation, FAST, seed=5, folder=tmp_path)
    path = tmp_path / "state.safetensors"
    data = bytearray(path.read_bytes())
    if damage == "a changed byte":
        data[-10] ^= 1
    else:
        del data[-100:]
    path.write_bytes(data)
    with pytest.raises(TrainingError, match="altered or cut short"):
        fit(network(), train, validation, FAST, seed=5, folder=tmp_path)
