"""The evaluation bundle: the ruler, written beside a checkpoint, which only a laboratory may open.

``bundle/clips.safetensors`` holds the test clips (N, T) int16 and their labels (N,) int64,
``bundle/bundle.json`` says what they are; ``class_counts.json`` is apart from both, so that an
experiment can be granted the counts without the clips.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save as dump_arrays

from shared.checkpoint import write_atomically

BUNDLE_FOLDER = "bundle"
CLIPS_NAME = "clips.safetensors"
BUNDLE_NAME = "bundle.json"
CLASS_COUNTS_NAME = "class_counts.json"


def write_bundle(
    folder: Path,
    *,
    clips: npt.NDArray[np.int16],
    labels: npt.NDArray[np.int64],
    names: list[str],
    class_counts: list[int],
    sample_rate_hz: int,
    checkpoint_id: str,
    manifest: list[dict[str, Any]],
) -> None:
    """Write the bundle and the class counts of the checkpoint in ``folder``.

    ``clips`` (N, T) and ``labels`` (N,) are the test split, ``class_counts`` (K,) the training
    clips of each label, ``manifest`` one entry for each test clip.
    """
    data = dump_arrays({"clips": clips, "labels": labels})
    counts = {"labels": names, "counts": class_counts}
    description = {
        "labels": names,
        "class_counts": class_counts,
        "sample_rate_hz": sample_rate_hz,
        "clip_samples": int(clips.shape[1]),
        "checkpoint": checkpoint_id,
        "clips_sha256": hashlib.sha256(data).hexdigest(),
        "manifest": manifest,
    }
    place = folder / BUNDLE_FOLDER
    write_atomically(place / CLIPS_NAME, data)
    _write_json(place / BUNDLE_NAME, description)
    _write_json(folder / CLASS_COUNTS_NAME, counts)


def _write_json(path: Path, data: dict[str, Any]) -> None:
    write_atomically(path, (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode())
