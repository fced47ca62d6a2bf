"""Checkpoints: a folder of ``model.safetensors`` and ``card.json``. No pickle anywhere.

The card carries the sha256 of the tensors file and of itself, so that one changed byte in either
file is refused. Both are written to temporary names and renamed, tensors first: a reader never
sees a card whose tensors are not there.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors

TENSORS_NAME = "model.safetensors"
CARD_NAME = "card.json"
TENSORS_HASH = "tensors_sha256"
_CARD_HASH = "card_sha256"


class CheckpointError(ValueError):
    """A checkpoint that is missing, incomplete or altered; the message says what to do."""


def save(folder: Path, tensors: Mapping[str, torch.Tensor], card: Mapping[str, Any]) -> str:
    """Write a checkpoint and return its id, the sha256 of its tensors file.

    ``card`` must be JSON data; the two hash fields are added to it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = dump_tensors(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    )
    checkpoint_id = hashlib.sha256(data).hexdigest()
    full_card = {**card, TENSORS_HASH: checkpoint_id}
    full_card[_CARD_HASH] = _hash_card(full_card)
    write_atomically(folder / TENSORS_NAME, data)
    write_atomically(folder / CARD_NAME, _write_card(full_card).encode())
    return checkpoint_id


def load(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors (on the CPU) and the card of the checkpoint in ``folder``.

    Raises:
        CheckpointError: a file is missing or unreadable, or any byte differs from what was saved.
    """
    card = load_card(folder)
    path = folder / TENSORS_NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror}. Train again, or copy the whole checkpoint folder."
        ) from error
    if hashlib.sha256(data).hexdigest() != card[TENSORS_HASH]:
        raise CheckpointError(
            f"{path}: the tensors differ from the sha256 in their card, so the file was altered or "
            "cut short. Copy the checkpoint folder again, or train it again."
        )
    try:
        return load_tensors(data), card
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error}). Train again.") from error


def load_card(folder: Path) -> dict[str, Any]:
    """Return the verified card of the checkpoint in ``folder`` without reading its tensors.

    Raises:
        CheckpointError: the card is missing, is not JSON, or differs from what was saved.
    """
    path = folder / CARD_NAME
    try:
        text = path.read_text(encoding="utf-8")
        card: dict[str, Any] = json.loads(text)
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror}. Name a checkpoint folder that holds "
            f"{CARD_NAME} and {TENSORS_NAME}."
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}). Copy the folder again.") from error
    whole = isinstance(card, dict) and card.get(_CARD_HASH) == _hash_card(card)
    if not whole or text != _write_card(card):
        raise CheckpointError(
            f"{path}: the card differs from what was saved. Copy the checkpoint folder again, "
            "or train it again."
        )
    return card


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a crash leaves either the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _write_card(card: Mapping[str, Any]) -> str:
    """Return the one text of a card: a byte that changes nothing of its meaning counts, too."""
    return json.dumps(card, indent=2, ensure_ascii=False) + "\n"


def _hash_card(card: Mapping[str, Any]) -> str:
    plain = {name: value for name, value in card.items() if name != _CARD_HASH}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
