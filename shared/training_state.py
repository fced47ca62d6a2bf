"""The saved state of a training: one safetensors file that refuses a changed byte."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as dump_tensors

from shared.checkpoint import write_atomically

STATE_NAME = "state.safetensors"


class TrainingError(RuntimeError):
    """Training cannot go on; the message says what to change."""


def write_state(path: Path, state: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """Write JSON data and CPU tensors to ``path``, or leave what was there."""
    full = {**state, "tensors_sha256": _sha256(tensors)}
    write_atomically(path, dump_tensors(tensors, metadata={"state": json.dumps(full)}))


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return what :func:`write_state` wrote.

    Raises:
        TrainingError: a byte of it was altered, or it was cut short.
    """
    altered = f"{path}: the saved training was altered or cut short. Delete it, and train afresh."
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise TrainingError(altered) from error
    if state.get("tensors_sha256") != _sha256(tensors):
        raise TrainingError(altered)
    return state, tensors


def _sha256(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
