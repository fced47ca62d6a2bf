import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

import attacker.wavegan.train
from attacker.wavegan.answer_weights import ClipWeights
from attacker.wavegan.config import GanConfig, HealthLimits
from attacker.wavegan.generator import load_generator
from attacker.wavegan.health import GanHealthError
from attacker.wavegan.state import load_state
from attacker.wavegan.train import Step, Training, train
from attacker.wavegan.windows import Windows
from shared import checkpoint
from shared.config import ConfigError
from shared.corpora.store import ClipStore
from shared.seeding import torch_stream


@pytest.fixture(autouse=True)
def previews(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Drawing is slow and has its own test: the steps that were drawn are all that counts here."""
    drawn: list[int] = []

    def write(folder: Path, step: int, real: Any, fake: Any, rate: int) -> None:
        assert (real.shape[1], fake.shape, rate) == (256, (12, 256), 4000)
        drawn.append(step)

    monkeypatch.setattr(attacker.wavegan.train, "write_preview", write)
    return drawn


def final_state(folder: Path) -> dict[str, Tensor]:
    state = load_state(folder / "state")
    assert state is not None
    return state[0]


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def train_and_die(config: GanConfig, store: ClipStore, folder: Path, when: str) -> None:
    """Run in a child process: train, and kill the process at the given moment."""
    write, cards = checkpoint.write_atomically, []

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def write_or_die(path: Path, data: bytes) -> None:
        if path.name == "card.json" and path.parent.parent.name == "state":
            cards.append(path)
            if when == "between the two files of a state" and len(cards) == 2:
                die()
        write(path, data)

    checkpoint.write_atomically = write_or_die
    train(
        config, store, folder, on_step=lambda s: die() if when == f"after step {s.number}" else None
    )


@pytest.mark.parametrize(
    ("when", "left"), [("after step 5", 4), ("between the two files of a state", 2)]
)
def test_sigkill_and_resume_end_in_the_same_bits(
    tmp_path: Path, store: ClipStore, config: GanConfig, when: str, left: int
) -> None:
    train(config, store, tmp_path / "straight")
    folder = tmp_path / "killed"
    # A forked child has its libraries loaded, which would otherwise take most of the time.
    arguments = (config, store, folder, when)
    child = multiprocessing.get_context("fork").Process(target=train_and_die, args=arguments)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    resumed: list[int] = []
    card = train(config, store, folder, on_step=lambda step: resumed.append(step.number))
    assert resumed == list(range(left + 1, 7))
    assert card["steps"] == 6
    assert same(final_state(folder), final_state(tmp_path / "straight"))
    files = [tmp_path / name / "model.safetensors" for name in ("straight", "killed")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_training_moves_both_networks_and_reports_each_step(
    tmp_path: Path, store: ClipStore, config: GanConfig
) -> None:
    steps: list[Step] = []
    card = train(config, store, tmp_path, on_step=steps.append, origin={"command": "make it"})
    assert [step.number for step in steps] == [1, 2, 3, 4, 5, 6]
    assert [bool(step.findings) for step in steps] == [False, False, True] * 2
    assert card["command"] == "make it"
    assert card["corpus_manifest_sha256"] == store.manifest_sha256
    assert set(card["health"]) == {"loudness", "clipping", "loss", "diversity"}
    start = Training(config, Windows(store, config))
    for key, value in start.generator.state_dict().items():
        assert not torch.equal(value, final_state(tmp_path)[f"generator.{key}"])
    adam_steps = final_state(tmp_path)["adam.critic.head.weight.step"]
    assert adam_steps.item() == 6 * config.critic_steps


def test_the_folder_holds_a_generator_previews_and_curves(
    tmp_path: Path, store: ClipStore, config: GanConfig, previews: list[int]
) -> None:
    train(config.model_copy(update={"preview_every": 4}), store, tmp_path)
    assert load_generator(tmp_path).samples == 256
    assert previews == [4, 6]
    curves = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in curves.Scalars("loss/distance")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in curves.Scalars("health/diversity")] == [3, 6]


def test_watching_does_not_change_the_weights(
    tmp_path: Path, store: ClipStore, config: GanConfig
) -> None:
    watched = {"preview_every": 1, "health": HealthLimits(every=1, clips=8), "log_every": 3}
    train(config, store, tmp_path / "a")
    train(config.model_copy(update=watched), store, tmp_path / "b")
    assert same(final_state(tmp_path / "a"), final_state(tmp_path / "b"))


def test_a_longer_training_continues_a_finished_one(
    tmp_path: Path, store: ClipStore, config: GanConfig
) -> None:
    train(config, store, tmp_path / "a")
    train(config.model_copy(update={"steps": 3}), store, tmp_path / "b")
    train(config, store, tmp_path / "b")
    assert same(final_state(tmp_path / "a"), final_state(tmp_path / "b"))


def test_another_seed_gives_another_generator(
    tmp_path: Path, store: ClipStore, config: GanConfig
) -> None:
    train(config, store, tmp_path / "a")
    train(config.model_copy(update={"seed": 6}), store, tmp_path / "b")
    assert not same(final_state(tmp_path / "a"), final_state(tmp_path / "b"))


def test_resuming_with_another_configuration_is_refused_and_fresh_forgets(
    tmp_path: Path, store: ClipStore, config: GanConfig
) -> None:
    train(config, store, tmp_path)
    other = config.model_copy(update={"learning_rate": 5e-4, "dim": 3})
    with pytest.raises(ConfigError, match=r"at step 6 .*dim, learning_rate.*--fresh"):
        train(other, store, tmp_path)
    assert train(other, store, tmp_path, fresh=True)["config"]["dim"] == 3


def weights(*values: float) -> ClipWeights:
    array = np.resize(np.array(values), 12)
    return ClipWeights(array, {"by": "entropy", "weights_sha256": str(values)})


def test_weights_are_on_the_card_and_move_the_training(
    tmp_path: Path, store: ClipStore, config: GanConfig
) -> None:
    card = train(config, store, tmp_path / "weighted", weights=weights(5, 0.1))
    assert card["answers"] == {"by": "entropy", "weights_sha256": "(5, 0.1)"}
    assert load_generator(tmp_path / "weighted").card["answers"] == card["answers"]
    plain = train(config, store, tmp_path / "plain")
    assert "answers" not in plain
    assert not same(final_state(tmp_path / "weighted"), final_state(tmp_path / "plain"))


@pytest.mark.parametrize("now", [None, weights(1, 2)])
def test_resuming_with_other_weights_is_refused(
    tmp_path: Path, store: ClipStore, config: GanConfig, now: ClipWeights | None
) -> None:
    train(config.model_copy(update={"steps": 2}), store, tmp_path, weights=weights(5, 0.1))
    with pytest.raises(ConfigError, match=r"differs in answers"):
        train(config, store, tmp_path, weights=now)
    assert train(config, store, tmp_path, weights=weights(5, 0.1))["steps"] == 6


def test_a_dead_training_stops_and_leaves_a_preview(
    tmp_path: Path, store: ClipStore, config: GanConfig, previews: list[int]
) -> None:
    limits = HealthLimits(every=1, clips=8, grace_steps=0, patience=2, min_loudness=1e6)
    with pytest.raises(GanHealthError, match=r"step 2: loudness .*gan\.normalise"):
        train(config.model_copy(update={"health": limits}), store, tmp_path)
    assert previews == [2]


def test_diverged_losses_stop_at_once(tmp_path: Path, store: ClipStore, config: GanConfig) -> None:
    wild = config.model_copy(update={"learning_rate": 1e18})
    with pytest.raises(GanHealthError, match="not finite"):
        train(wild, store, tmp_path)


def test_phase_shuffle_draws_every_shift_up_to_its_bound(
    store: ClipStore, config: GanConfig
) -> None:
    wide = config.model_copy(update={"phase_shuffle": 3})
    training, noise = Training(wide, Windows(store, wide)), torch_stream(1, "shifts")
    draws = [training._shifts(noise) for _ in range(200)]
    assert {len(draw) for draw in draws} == {training.critic.shuffles}
    assert {shift for draw in draws for shift in draw} == {-3, -2, -1, 0, 1, 2, 3}


def test_latents_are_uniform_between_minus_one_and_one(store: ClipStore, config: GanConfig) -> None:
    training = Training(config, Windows(store, config))
    latents = training._latent(torch_stream(1, "latents"), 1000)
    assert latents.shape == (1000, config.latent)
    assert -1 <= latents.min().item() < -0.9
    assert 0.9 < latents.max().item() <= 1
    assert abs(latents.mean().item()) < 0.05
    assert abs(latents.square().mean().item() - 1 / 3) < 0.05  # flat, not heaped anywhere


def test_the_gradient_penalty_moves_the_critic(store: ClipStore, config: GanConfig) -> None:
    penalties, critics = [], []
    for weight in (10.0, 0.0):
        chosen = config.model_copy(update={"penalty_weight": weight})
        training = Training(chosen, Windows(store, chosen))
        penalties.append(training.advance().penalty)
        critics.append(training.critic.state_dict())
    assert penalties[0] > 0
    assert penalties[1] == 0
    assert not same(critics[0], critics[1])
