"""The transfer set: kept clips, made again from their query indices, with the victim's answers.

Clips are made once and kept as a memory map in the cache folder where there is room for them;
otherwise they are made again batch by batch, which `shared.training` does beside the training.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attacker.sources import Source
from shared.audio import from_int16, to_int16
from shared.clip_source import most_probable

KEPT_BYTES = 12 * 1024**3
"""Clips that need more are not kept: room for 393,216 of ``paper`` size. Our own choice."""
_FREE_SHARE = 0.5  # of the free disk that kept clips may take
_RENDER_CLIPS = 256
_VERSION = 1  # of the files; raise it with any change of how sources make clips


def kept_path(cache: Path, identity: Mapping[str, Any], indices: np.ndarray) -> Path:
    """Return where clips ``indices`` of the campaign with a journal's ``identity`` are kept.

    Campaigns that made the same clips share the file, whatever they asked and kept.
    """
    names = ("seed", "material", "sample_rate_hz", "clip_samples")
    facts = {name: identity[name] for name in names}
    facts |= {"version": _VERSION, "source": identity["campaign"]["source"]}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(indices, dtype=np.int64).tobytes())
    return cache / f"labelled-{digest.hexdigest()[:24]}.int16"


class Clips:
    """The clips of some queries, made again from their indices.

    Args:
        source: makes them.
        indices: (N,) the queries.
        place: file to keep them in, as :func:`kept_path` names it; one that is there and whole is
            used. None: they are made again whenever they are asked for.
        kept_bytes: clips that need more are not kept, nor are those that the disk has no room for.
    """

    def __init__(
        self,
        source: Source,
        indices: np.ndarray,
        place: Path | None = None,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self.source, self.place = source, place
        indices = np.asarray(indices, dtype=np.int64)
        self._order = np.argsort(indices, kind="stable")
        self._sorted = indices[self._order]
        self._kept: np.ndarray | None = None
        shape = (len(indices), source.context.clip_samples)
        if place is not None and 0 < 2 * shape[0] * shape[1] <= kept_bytes:
            self._kept = _opened(place, shape)
            if self._kept is None and _keep(place, self._made_again(indices), shape):
                self._kept = _opened(place, shape)

    @property
    def kept(self) -> bool:
        """Whether the clips lie in a file."""
        return self._kept is not None

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        """Return the clips (B, T) float32 of the queries ``indices`` (B,).

        Raises:
            KeyError: a query is not among those that these are the clips of.
        """
        places = np.searchsorted(self._sorted, indices)
        if (places == len(self._sorted)).any() or (self._sorted[places] != indices).any():
            raise KeyError(f"not all of the queries {indices} are among these clips")
        if self._kept is None:
            return self.source.training_clips(indices)
        return from_int16(self._kept[self._order[places]])

    def discard(self) -> None:
        """Remove the file, which is only a cache; the clips are made again from now on."""
        self._kept = None
        if self.place is not None:
            self.place.unlink(missing_ok=True)

    def _made_again(self, indices: np.ndarray) -> Iterable[np.ndarray]:
        for start in range(0, len(indices), _RENDER_CLIPS):
            yield to_int16(self.source.training_clips(indices[start : start + _RENDER_CLIPS]))


@dataclass(frozen=True)
class TransferSet:
    """Kept clips with the victim's answers; a ``shared.training.ClipSource``."""

    clips: Clips
    indices: np.ndarray
    """(N,) query indices."""
    targets: np.ndarray
    """(N, K) float32, or (N,) int64."""

    def __len__(self) -> int:
        return len(self.indices)

    def batch(
        self, indices: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return clips (B, T) and targets at ``indices``; a query has one crop only."""
        del rng
        clips = self.clips.fetch(self.indices[indices])
        return torch.from_numpy(clips), torch.from_numpy(self.targets[indices])

    def hard_labels(self) -> np.ndarray:
        """Return the victim's most probable label (N,) of every clip."""
        return most_probable(self.targets)

    def part(self, indices: np.ndarray) -> "TransferSet":
        """Return the clips at ``indices`` as a transfer set of their own."""
        return TransferSet(self.clips, self.indices[indices], self.targets[indices])


def _opened(place: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """Return the kept clips, or None where no whole file is; it may be removed while in use."""
    try:
        if place.stat().st_size != 2 * shape[0] * shape[1]:
            return None
        return np.memmap(place, dtype=np.int16, mode="r", shape=shape)
    except FileNotFoundError:
        return None


def _keep(place: Path, parts: Iterable[np.ndarray], shape: tuple[int, int]) -> bool:
    """Write clips to ``place``, which is whole whenever it exists; False: the disk has no room."""
    place.parent.mkdir(parents=True, exist_ok=True)
    _sweep(place)
    if 2 * shape[0] * shape[1] > _FREE_SHARE * shutil.disk_usage(place.parent).free:
        return False
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part.tobytes())  # not through a map: a full disk must be an error
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _sweep(place: Path) -> None:
    """Remove what processes that were killed left of this very file."""
    for left in place.parent.glob(f".{place.name}.*.tmp"):
        if not _is_running(left.name.split(".")[-2]):
            left.unlink(missing_ok=True)


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True
