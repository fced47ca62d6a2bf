"""What can be said of devices without one: the choices, and the CPU's form of every path."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from shared.acceleration import COMPILE_FROM_STEPS, Acceleration, Batch
from shared.augmentation import Changes
from shared.recipe import Recipe

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose CUDA device computes bfloat16 and can compile."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr("shared.acceleration._can_compile", lambda: True)


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(
    ("instructions", "expected"),
    [({}, False), ({"avx512_bf16": False}, False), ({"avx512_bf16": True}, True)],
)
def test_a_cpu_takes_bfloat16_where_it_multiplies_it_and_never_compiles_by_itself(
    monkeypatch: pytest.MonkeyPatch, instructions: dict[str, bool], expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    plain = Acceleration.choose(Recipe(), CPU, steps=10**6)
    assert (plain.bfloat16, plain.compiled) == (expected, False)
    told = Acceleration.choose(Recipe(precision="float32"), CPU, steps=10**6)
    assert not told.bfloat16
    told = Acceleration.choose(Recipe(precision="bfloat16", compile="always"), CPU, steps=1)
    assert (told.bfloat16, told.compiled) == (True, True)


@pytest.mark.usefixtures("able")
def test_a_cuda_device_takes_bfloat16_and_compiles_what_is_long() -> None:
    long = Acceleration.choose(Recipe(), CUDA, COMPILE_FROM_STEPS)
    assert (long.bfloat16, long.compiled) == (True, True)
    assert not Acceleration.choose(Recipe(), CUDA, COMPILE_FROM_STEPS - 1).compiled
    told = Acceleration.choose(Recipe(precision="float32", compile="never"), CUDA, 10**6)
    assert (told.bfloat16, told.compiled) == (False, False)


def test_what_a_machine_cannot_do_it_is_not_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: asked.update(options))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    chosen = Acceleration.choose(Recipe(), CUDA, 10**6)
    assert (bool(chosen.bfloat16), chosen.compiled) == (False, False)
    assert asked == {"including_emulation": False}  # emulated, it is slower than float32


def test_bfloat16_runs_the_network_and_keeps_its_weights_in_full() -> None:
    model = nn.Linear(8, 3)
    forward = Acceleration(CPU, bfloat16=True, compiled=False).forward_of(model)
    logits = forward(torch.rand(4, 8))
    assert logits.dtype == torch.bfloat16
    logits.float().sum().backward()
    assert model.weight.dtype == torch.float32
    assert model.weight.grad is not None
    assert model.weight.grad.dtype == torch.float32


def test_steps_are_compiled_and_the_weights_stay_the_models(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[tuple[nn.Module, dict[str, Any]]] = []

    def fake(model: nn.Module, **options: Any) -> Callable[[torch.Tensor], torch.Tensor]:
        compiled.append((model, options))
        return lambda clips: model(clips) + 1

    monkeypatch.setattr(torch, "compile", fake)
    model, clips = nn.Linear(8, 3), torch.rand(4, 8)
    forward = Acceleration(CPU, bfloat16=False, compiled=True).forward_of(model)
    assert compiled == [(model, {"dynamic": False})]
    torch.testing.assert_close(forward(clips), model(clips) + 1)
    assert Acceleration(CPU, bfloat16=False, compiled=False).forward_of(model) is model


def test_a_cpu_gets_its_batches_changed_already() -> None:
    there = Acceleration(CPU, bfloat16=False, compiled=False)
    changes = Changes(offsets=torch.tensor([1, 0]))
    ready = there.ready(Batch(torch.ones(2, 3), torch.zeros(2), changes))
    assert ready.changes == Changes()
    assert ready.clips.tolist() == [[0, 1, 1], [1, 1, 1]]
    clips, targets = there.moved(ready)
    assert clips is ready.clips
    assert targets is ready.targets


def test_a_cuda_device_gets_pinned_batches_and_changes_them_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The copies are taken down: they are asked of a tensor that has no device to go to."""
    pinned: list[int] = []
    copies: list[tuple[torch.device, bool]] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda part: (pinned.append(id(part)), part)[1])

    def copy(part: torch.Tensor, device: torch.device, non_blocking: bool) -> torch.Tensor:
        copies.append((device, non_blocking))
        return part

    monkeypatch.setattr(torch.Tensor, "to", copy)
    there = Acceleration(CUDA, bfloat16=True, compiled=False)
    batch = Batch(torch.ones(2, 3), torch.zeros(2), Changes(offsets=torch.tensor([1, 0])))
    ready = there.ready(batch)
    assert ready.clips.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert pinned == [id(batch.clips), id(batch.targets), id(batch.changes.offsets)]
    clips, _ = there.moved(ready)
    assert clips.tolist() == [[0, 1, 1], [1, 1, 1]]
    assert copies == [(CUDA, True)] * 3


def test_beside_a_cpu_training_nothing_is_queued_apart() -> None:
    with Acceleration(CPU, bfloat16=False, compiled=False).beside():
        assert torch.rand(1).device == CPU
