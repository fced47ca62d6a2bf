from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from attacker.wavegan.state import load_state, pack, save_state, unpack
from shared.checkpoint import CheckpointError


def save(folder: Path, step: int) -> None:
    save_state(folder, {"w": torch.full((3,), float(step))}, {"step": step})


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def newest(folder: Path) -> tuple[int, float]:
    state = load_state(folder)
    assert state is not None
    tensors, card = state
    return card["step"], tensors["w"][0].item()


def test_nothing_saved_is_none(tmp_path: Path) -> None:
    assert load_state(tmp_path / "state") is None


def test_the_newest_is_loaded_and_two_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        save(tmp_path, step)
        assert newest(tmp_path) == (step, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("name", ["model.safetensors", "card.json"])
def test_a_damaged_slot_falls_back_to_the_other_and_is_written_next(
    tmp_path: Path, name: str
) -> None:
    save(tmp_path, 5)
    save(tmp_path, 10)
    damage(tmp_path / "b" / name)
    assert newest(tmp_path) == (5, 5)
    save(tmp_path, 6)
    assert newest(tmp_path) == (6, 6)
    damage(tmp_path / "b" / name)
    assert newest(tmp_path) == (5, 5)


def test_no_whole_slot_is_an_error(tmp_path: Path) -> None:
    save(tmp_path, 5)
    damage(tmp_path / "a" / "card.json")
    with pytest.raises(CheckpointError, match="--fresh"):
        load_state(tmp_path)


def trained(steps: int) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Adam]]:
    torch.manual_seed(0)
    parts: dict[str, nn.Module] = {"generator": nn.Linear(2, 2), "critic": nn.Linear(2, 1)}
    adams = {
        name: torch.optim.Adam(part.parameters(), 0.1, fused=True) for name, part in parts.items()
    }
    continue_training(parts, adams, steps)
    return parts, adams


def continue_training(
    parts: dict[str, nn.Module], adams: dict[str, torch.optim.Adam], steps: int
) -> None:
    for _ in range(steps):
        for name, part in parts.items():
            adams[name].zero_grad()
            torch.autograd.backward(part(torch.ones(1, 2)).square().sum())
            adams[name].step()


def weights(parts: dict[str, nn.Module]) -> list[Tensor]:
    return [value for part in parts.values() for value in part.state_dict().values()]


def test_unpacked_training_goes_on_as_if_never_packed(tmp_path: Path) -> None:
    straight, _ = trained(7)
    save_state(tmp_path, pack(*trained(4)), {"step": 4})
    state = load_state(tmp_path)
    assert state is not None
    parts, adams = trained(0)
    unpack(state[0], parts, adams)
    continue_training(parts, adams, 3)
    assert all(torch.equal(a, b) for a, b in zip(weights(parts), weights(straight), strict=True))
