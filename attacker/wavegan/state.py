"""The training's state on disk: two slots written in turn, so that one is always whole."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from shared import checkpoint
from shared.checkpoint import CheckpointError

_SLOTS = ("a", "b")


def save_state(folder: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Write the state into the slot that does not hold the newest one.

    A process killed at any moment leaves the other slot untouched.
    """
    newest = max(_whole_slots(folder), default=None)
    slot = _SLOTS[0] if newest is None or newest[1] == _SLOTS[1] else _SLOTS[1]
    checkpoint.save(folder / slot, tensors, card)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the newest whole state, or None when nothing was ever saved.

    Raises:
        CheckpointError: something was saved, and no slot of it is whole.
    """
    for _, slot in sorted(_whole_slots(folder), reverse=True):
        return checkpoint.load(folder / slot)
    if any((folder / slot / checkpoint.CARD_NAME).exists() for slot in _SLOTS):
        raise CheckpointError(f"{folder}: no whole state is left. Train again with --fresh.")
    return None


def pack(
    parts: Mapping[str, nn.Module], optimisers: Mapping[str, torch.optim.Adam]
) -> dict[str, Tensor]:
    """Return the parameters and Adam moments of a training as named tensors."""
    tensors = {}
    for name, module in parts.items():
        for key, value in module.state_dict().items():
            tensors[f"{name}.{key}"] = value
        for key, parameter in module.named_parameters():
            for moment, value in optimisers[name].state[parameter].items():
                tensors[f"adam.{name}.{key}.{moment}"] = value
    return tensors


def unpack(
    tensors: Mapping[str, Tensor],
    parts: Mapping[str, nn.Module],
    optimisers: Mapping[str, torch.optim.Adam],
) -> None:
    """Load what ``pack`` returned into the modules and optimisers, in place."""
    for name, module in parts.items():
        module.load_state_dict(_below(tensors, f"{name}."))
        for key, parameter in module.named_parameters():
            moments = _below(tensors, f"adam.{name}.{key}.")
            optimisers[name].state[parameter] = {
                moment: value if moment == "step" else value.to(parameter.device)
                for moment, value in moments.items()
            }


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }


def _whole_slots(folder: Path) -> Iterator[tuple[int, str]]:
    for slot in _SLOTS:
        try:
            _, card = checkpoint.load(folder / slot)
        except CheckpointError:
            continue
        yield int(card["step"]), slot
