"""What detectors learnt of honest traffic: a reference and thresholds, in a folder of a checkpoint.

``reference.safetensors`` holds what the model made of N honest clips, not the clips themselves:
embeddings (N, E), probabilities (N, K) and labels (N,). ``thresholds.json`` says, for each kind of
detector, the settings that were fitted, the threshold and what it was fitted to.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load as read_arrays
from safetensors.numpy import save as dump_arrays

from shared.checkpoint import write_atomically
from shared.config import ConfigError, Frozen, validate
from victim_service.detectors.base import Detector, DetectorSpec, Reference, Seen
from victim_service.errors import StartError

FOLDER = "detectors"
REFERENCE_NAME, THRESHOLDS_NAME = "reference.safetensors", "thresholds.json"
_AGAIN = "Run `earshot-victim detectors fit` for this checkpoint."


class ProfileScores(Frozen):
    """Scores of one profile of honest users."""

    windows: int = Field(ge=1)
    users: int | None = Field(default=None, ge=1)
    """Whose windows they are, if it was counted; those of one user resemble one another."""
    median: float
    q999: float
    """99.9 % of the scores are at most this."""
    highest: float


class Fit(Frozen):
    """A threshold, and what it was fitted to."""

    settings: dict[str, Any]
    """The detector's fields, without its threshold."""
    threshold: float
    margin: float = Field(ge=0)
    """By how much the threshold lies above the highest honest score."""
    windows: int = Field(ge=1)
    users: int | None = Field(default=None, ge=1)
    median: float
    q999: float
    highest: float
    profiles: dict[str, ProfileScores]


class Thresholds(Frozen):
    """The document ``thresholds.json``."""

    checkpoint: str
    sample_rate_hz: int = Field(ge=1)
    target: float = Field(gt=0, lt=1)
    """Share of honest windows that may be alarms."""
    seed: int
    fits: dict[str, Fit]


class Fitted:
    """The reference and the thresholds of a checkpoint.

    Attributes:
        reference: what detectors are built on.
        document: everything that ``thresholds.json`` says.
    """

    def __init__(self, reference: Reference, document: Thresholds) -> None:
        self.reference = reference
        self.document = document

    @property
    def thresholds(self) -> dict[str, float]:
        """Fitted threshold by kind."""
        return {kind: fit.threshold for kind, fit in self.document.fits.items()}

    def threshold(self, spec: DetectorSpec) -> float:
        """Return the score above which a window of ``spec`` is an alarm.

        Raises:
            StartError: none was fitted to these settings, and the spec sets none itself.
        """
        if spec.threshold is not None:
            return spec.threshold
        fit = self.document.fits.get(spec.kind)
        if fit is None or fit.settings != settings_of(spec):
            has = "none" if fit is None else f"{fit.settings}"
            raise StartError(
                f"detector {spec.kind}: there is no threshold for {settings_of(spec)}; fitted "
                f"settings: {has}. Write these, or set `threshold`, or run `earshot-victim "
                "detectors fit` with these settings in --detectors."
            )
        return fit.threshold

    def build(self, spec: DetectorSpec) -> tuple[Detector, float]:
        """Return the detector of ``spec`` and its threshold.

        Raises:
            StartError: as :meth:`threshold` does.
        """
        return spec.build(self.reference), self.threshold(spec)


def settings_of(spec: DetectorSpec) -> dict[str, Any]:
    """Return all fields of ``spec`` that its scores depend on."""
    return spec.model_dump(mode="json", exclude={"threshold"})


def save_fitted(folder: Path, fitted: Fitted) -> None:
    """Write both files into ``folder``, the thresholds last: they never lack a reference."""
    seen = fitted.reference.seen
    arrays: dict[str, npt.NDArray[Any]] = {
        "embeddings": np.ascontiguousarray(seen.embeddings),
        "probabilities": np.ascontiguousarray(seen.probabilities),
        "labels": np.ascontiguousarray(fitted.reference.labels),
    }
    text = json.dumps(fitted.document.model_dump(mode="json"), indent=2) + "\n"
    write_atomically(folder / REFERENCE_NAME, dump_arrays(arrays))
    write_atomically(folder / THRESHOLDS_NAME, text.encode())


def load_fitted(folder: Path, checkpoint_id: str, secret: bytes = b"") -> Fitted:
    """Return what is in ``folder``, for the service with ``secret``.

    Raises:
        StartError: it is missing, damaged, or that of another checkpoint.
    """
    try:
        raw = json.loads((folder / THRESHOLDS_NAME).read_text(encoding="utf-8"))
        document = validate(raw, Thresholds, origin=str(folder / THRESHOLDS_NAME))
        reference = _reference(folder / REFERENCE_NAME, document.sample_rate_hz)
    except OSError as error:
        raise StartError(f"{error.filename}: {error.strerror}. {_AGAIN}") from error
    except (ConfigError, ValueError, KeyError, SafetensorError) as error:
        raise StartError(
            f"{folder}: the detectors' files are damaged ({error}). {_AGAIN}"
        ) from error
    if document.checkpoint != checkpoint_id:
        raise StartError(
            f"{folder}: fitted for checkpoint {document.checkpoint[:16]}, and this is "
            f"{checkpoint_id[:16]}. {_AGAIN}"
        )
    return Fitted(replace(reference, secret=secret), document)


def _reference(path: Path, sample_rate_hz: int) -> Reference:
    arrays = read_arrays(path.read_bytes())
    embeddings, probabilities, labels = (
        arrays[name] for name in ("embeddings", "probabilities", "labels")
    )
    if not (
        len(embeddings) == len(probabilities) == len(labels) > 0
        and embeddings.dtype == probabilities.dtype == np.float32
        and embeddings.ndim == probabilities.ndim == 2
        and labels.dtype == np.int64
        and np.isfinite(embeddings).all()
        and np.isfinite(probabilities).all()
    ):
        raise ValueError(f"{path.name} does not hold embeddings, probabilities and labels")
    no_clips = np.zeros((len(labels), 0), np.float32)
    return Reference(Seen(embeddings, probabilities, no_clips), labels, sample_rate_hz)
