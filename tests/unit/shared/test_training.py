import threading
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


ALL_OPTIONS = FAST.model_copy(
    update={
        "max_gain": 3.0,
        "max_speed": 1.1,
        "temperature": 2.0,
        "balance": 1.0,
        "weight_average": 0.9,
    }
)


def soft(n: int, seed: int) -> ArrayClips:
    """Tones of rare and common classes, with probabilities for targets."""
    source = tones(n, seed)
    keep = np.flatnonzero((source.targets != 2) | (np.arange(n) % 9 == 2))
    answers = np.random.default_rng(seed).dirichlet(np.ones(K), len(keep)).astype(np.float32)
    answers += 2 * np.eye(K, dtype=np.float32)[source.targets[keep]]
    return ArrayClips(source.clips[keep], answers / answers.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("stop_after", [1, 4])
def test_a_killed_fit_with_every_option_resumes_to_the_same_weights(
    tmp_path: Path, stop_after: int
) -> None:
    class KilledError(Exception):
        pass

    def kill(epoch: Epoch) -> None:
        if epoch.number == stop_after:
            raise KilledError

    train, validation, whole, resumed = soft(60, 0), tones(9, 1), network(), network()
    expected = fit(whole, train, validation, ALL_OPTIONS, seed=5)
    with pytest.raises(KilledError):
        fit(network(), train, validation, ALL_OPTIONS, seed=5, folder=tmp_path, on_epoch=kill)
    result = fit(resumed, train, validation, ALL_OPTIONS, seed=5, folder=tmp_path)
    assert_same(weights_of(whole), weights_of(resumed))
    assert [e.train_loss for e in result.epochs] == [e.train_loss for e in expected.epochs]


@pytest.mark.parametrize(
    "option", ["max_gain", "max_speed", "temperature", "balance", "weight_average"]
)
def test_every_option_changes_the_training_and_it_still_learns(option: str) -> None:
    plain, given = network(), network()
    recipe = FAST.model_copy(update={option: getattr(ALL_OPTIONS, option), "max_shift_samples": 0})
    fit(plain, soft(90, 0), tones(30, 1), FAST.model_copy(update={"max_shift_samples": 0}), seed=0)
    result = fit(given, soft(90, 0), tones(30, 1), recipe, seed=0)
    assert not torch.equal(weights_of(plain)["head.weight"], weights_of(given)["head.weight"])
    assert result.best.validation_accuracy >= 0.6


def test_balance_shows_rare_labels_as_often_as_common_ones() -> None:
    shown: list[int] = []

    class Watched(ArrayClips):
        def batch(
            self, indices: np.ndarray, rng: np.random.Generator | None
        ) -> tuple[torch.Tensor, torch.Tensor]:
            if rng is not None:
                shown.extend(self.hard_labels()[indices].tolist())
            return super().batch(indices, rng)

    source = soft(90, 0)
    assert sorted(np.bincount(source.hard_labels()).tolist()) == [10, 30, 30]
    recipe = Recipe(epochs=1, batch_size=8, balance=1.0)
    fit(network(), Watched(source.clips, source.targets), tones(9, 1), recipe, seed=0)
    assert np.abs(np.bincount(shown) - 70 / 3).max() <= 1


def test_the_average_is_what_is_judged_and_kept() -> None:
    model, own = network(), []

    def watch(step: int, steps: int) -> None:
        own.append(weights_of(model)["head.weight"])

    recipe = FAST.model_copy(update={"weight_average": 0.9, "epochs": 1})
    fit(model, tones(60, 0), tones(9, 1), recipe, seed=0, on_step=watch)
    average = weights_of(network())["head.weight"]
    for step, weights in enumerate(own):
        decay = min(0.9, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weights
    torch.testing.assert_close(weights_of(model)["head.weight"], average)


def test_bfloat16_trains_on_a_cpu_as_well() -> None:
    model = network()
    recipe = FAST.model_copy(update={"precision": "bfloat16"})
    result = fit(model, tones(60, 0), tones(30, 1), recipe, seed=0)
    assert result.best.validation_accuracy >= 0.9
    assert {value.dtype for value in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("when", ["first", "later"])
def test_an_error_of_the_clips_is_raised_and_no_thread_is_left(when: str) -> None:
    class Broken(ArrayClips):
        def batch(
            self, indices: np.ndarray, rng: np.random.Generator | None
        ) -> tuple[torch.Tensor, torch.Tensor]:
            if rng is not None and (when == "first" or 7 in indices):
                raise OSError("the disk is gone")
            return super().batch(indices, rng)

    source = tones(60, 0)
    with pytest.raises(OSError, match="the disk is gone"):
        fit(network(), Broken(source.clips, source.targets), tones(9, 1), FAST, seed=0)
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_batches_are_made_beside_the_training() -> None:
    makers = set()

    class Watched(ArrayClips):
        def batch(
            self, indices: np.ndarray, rng: np.random.Generator | None
        ) -> tuple[torch.Tensor, torch.Tensor]:
            if rng is not None:
                makers.add(threading.current_thread() is threading.main_thread())
            return super().batch(indices, rng)

    source = tones(30, 0)
    fit(network(), Watched(source.clips, source.targets), tones(9, 1), FAST, seed=0)
    assert makers == {False}


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
