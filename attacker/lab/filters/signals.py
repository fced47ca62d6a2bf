"""Maximised signals on disk: one safetensors file a layer, used again by the same question.

The file's metadata say what was asked (model, layer, settings, seed and side) and the hash of what
was found. A file that answers another question, or that was altered, is made again; one of fewer
filters is gone on with.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as dump_tensors

from attacker.lab.filters.maximise import Maximised
from shared.audio import from_int16, to_int16
from shared.checkpoint import write_atomically

SIGNALS_FOLDER = "signals"
_ENTRY = "earshot"
"""The one entry of the metadata: of several the library would choose the order anew each time."""


@dataclass(frozen=True)
class LayerSignals:
    """The signals of one layer's filters, filter n in row n."""

    waves: np.ndarray
    """(N, T) int16."""
    start: np.ndarray
    """(N,) float32: mean activation of the noise."""
    end: np.ndarray
    """(N,) float32: mean activation of the signal."""

    def __len__(self) -> int:
        return len(self.waves)

    def wave(self, number: int) -> np.ndarray:
        """Return the signal (T,) float32 in [-1, 1] of filter ``number``."""
        return from_int16(self.waves[number])

    def first(self, count: int) -> "LayerSignals":
        """Return the signals of the first ``count`` filters."""
        return LayerSignals(self.waves[:count], self.start[:count], self.end[:count])

    def followed_by(self, found: Maximised) -> "LayerSignals":
        """Return these signals with those of the next filters behind them."""
        return LayerSignals(
            np.concatenate([self.waves, to_int16(found.signals.numpy())]),
            np.concatenate([self.start, found.start.numpy()]),
            np.concatenate([self.end, found.end.numpy()]),
        )

    @classmethod
    def none(cls, samples: int) -> "LayerSignals":
        """Return no signals, of ``samples`` samples each."""
        nothing = np.empty(0, dtype=np.float32)
        return cls(np.empty((0, samples), dtype=np.int16), nothing, nothing)


def signals_path(out: Path, side: str, layer: str) -> Path:
    """Return where the signals of one model's layer lie."""
    return out / SIGNALS_FOLDER / f"{side}-{layer}.safetensors"


def write_signals(path: Path, signals: LayerSignals, question: dict[str, Any]) -> None:
    """Write ``signals`` so that :func:`read_signals` finds them by the same ``question``."""
    tensors = {
        "waves": torch.from_numpy(signals.waves),
        "start": torch.from_numpy(signals.start),
        "end": torch.from_numpy(signals.end),
    }
    write_atomically(path, dump_tensors(tensors, {_ENTRY: _entry(signals, question)}))


def read_signals(path: Path, question: dict[str, Any]) -> LayerSignals | None:
    """Return the signals at ``path``, of however many filters, if they answer ``question``."""
    try:
        with safe_open(path, framework="pt") as file:
            entry = (file.metadata() or {}).get(_ENTRY)
            signals = LayerSignals(
                *(file.get_tensor(name).numpy() for name in ("waves", "start", "end"))
            )
    except (OSError, SafetensorError):
        return None
    return signals if entry == _entry(signals, question) else None


def _entry(signals: LayerSignals, question: dict[str, Any]) -> str:
    return json.dumps({"question": question, "sha256": _sha256(signals)}, sort_keys=True)


def _sha256(signals: LayerSignals) -> str:
    parts = (signals.waves, signals.start, signals.end)
    return hashlib.sha256(
        b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
    ).hexdigest()
