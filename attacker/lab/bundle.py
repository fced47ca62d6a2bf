"""The evaluation bundle: the victim's test clips, which only the laboratory may open."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from attacker.errors import EarshotError
from shared.checkpoint import file_sha256

CLIPS_NAME = "clips.safetensors"
CARD_NAME = "bundle.json"
_AGAIN = "Copy the bundle folder again, or train the victim again"


class BundleError(EarshotError):
    """An evaluation bundle that is missing, altered or of another victim."""


class _Card(BaseModel):
    """What ``bundle.json`` must say; further members are the victim's own business."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    labels: list[str]
    class_counts: list[int]
    sample_rate_hz: int
    clip_samples: int
    checkpoint: str
    clips_sha256: str
    manifest: list[dict[str, Any]] = []


@dataclass(frozen=True)
class Bundle:
    """Test clips of a victim with their true labels."""

    clips: np.ndarray
    """(N, T) int16."""
    labels: np.ndarray
    """(N,) int64, indices into ``names``."""
    names: tuple[str, ...]
    """The K speakers."""
    class_counts: tuple[int, ...]
    """Training clips of each speaker."""
    sample_rate_hz: int
    checkpoint: str
    """sha256 of the tensors of the victim whose test clips these are."""
    sha256: str
    """sha256 of the clips file."""
    files: frozenset[str] = frozenset()
    """sha256 of the audio files that the test clips are from; empty where it is not said."""

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.names)

    def demand_victim(self, checkpoint: str, *, who: str) -> None:
        """Refuse a bundle of another victim than the one with this ``checkpoint``.

        Raises:
            BundleError: the two differ; ``who`` says in the message whose checkpoint it is.
        """
        if checkpoint != self.checkpoint:
            raise BundleError(
                f"this bundle belongs to the victim {self.checkpoint[:12]}, but {who} is "
                f"{checkpoint[:12]}. Name the bundle folder that was written beside that victim."
            )


def read_bundle(folder: Path) -> Bundle:
    """Read and verify the evaluation bundle in ``folder``.

    Raises:
        BundleError: a file is missing, altered, or does not fit the other.
    """
    card = _read_card(folder / CARD_NAME)
    path = folder / CLIPS_NAME
    if not path.is_file():
        raise BundleError(f"{path} is missing. {_AGAIN}.")
    sha256 = file_sha256(path)
    if sha256 != card.clips_sha256:
        raise BundleError(f"{path} is not the file that its card names by sha256. {_AGAIN}.")
    try:
        arrays = load_arrays(path.read_bytes())
    except SafetensorError as error:
        raise BundleError(f"{path} is not a safetensors file ({error}). {_AGAIN}.") from error
    clips, labels = arrays.get("clips"), arrays.get("labels")
    if clips is None or labels is None:
        raise BundleError(f"{path} lacks `clips` or `labels`. {_AGAIN}.")
    problem = _misfit(card, clips, labels)
    if problem:
        raise BundleError(f"{folder}: {problem}. {_AGAIN}.")
    return Bundle(
        clips=clips,
        labels=labels.astype(np.int64),
        names=tuple(card.labels),
        class_counts=tuple(card.class_counts),
        sample_rate_hz=card.sample_rate_hz,
        checkpoint=card.checkpoint,
        sha256=sha256,
        files=frozenset(str(one["sha256"]) for one in card.manifest if "sha256" in one),
    )


def _read_card(path: Path) -> _Card:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(
            f"{path}: {error.strerror}. Name the `bundle` folder inside the victim's checkpoint "
            "folder, as `earshot-victim train` wrote it."
        ) from error
    except ValueError as error:
        raise BundleError(f"{path} is not JSON ({error}). {_AGAIN}.") from error
    try:
        return _Card.model_validate(data)
    except ValidationError as error:
        keys = ", ".join(".".join(map(str, item["loc"])) for item in error.errors())
        raise BundleError(f"{path}: wrong or missing: {keys}. {_AGAIN}.") from error


def _misfit(card: _Card, clips: np.ndarray, labels: np.ndarray) -> str | None:
    k = len(card.labels)
    if clips.dtype != np.int16 or clips.ndim != 2 or clips.shape[1] != card.clip_samples:
        return f"clips are {clips.dtype} {clips.shape}, not int16 (N, {card.clip_samples})"
    if labels.shape != (len(clips),) or labels.dtype.kind != "i" or len(labels) == 0:
        return f"labels are {labels.dtype} {labels.shape} for {len(clips)} clips"
    if k < 2 or len(card.class_counts) != k:
        return f"{k} labels and {len(card.class_counts)} class counts"
    if labels.min() < 0 or labels.max() >= k:
        return f"a label lies outside 0 to {k - 1}"
    return None
