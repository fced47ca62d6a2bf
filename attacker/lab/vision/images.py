"""Labelled images from a folder, decoded once: ``<root>/<class>/*.png`` or ``*.jpg``."""

import hashlib
import json
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as dump_arrays

from attacker.errors import ExperimentError
from shared.checkpoint import write_atomically
from shared.corpora import Progress
from shared.runtime import available_processors
from shared.seeding import numpy_stream

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_FORMATS = ("PNG", "JPEG")
_MAX_PIXELS = 64_000_000
"""A larger image is refused: a few kilobytes can claim to be one of gigabytes."""
_VERSION = 1  # of the cache; raise it with any change of how images are decoded
_REPORT_EVERY = 100  # images between two reports of progress
_PER_CLASS = 2
"""Images that a class must have: one to train with, and one to test with."""
_UNREADABLE = (
    OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip


class ImageFolderError(ExperimentError):
    """A folder of images that cannot be used."""


@dataclass(frozen=True)
class ImageSet:
    """All images of a folder, in the order of their class and name."""

    root: Path
    names: tuple[str, ...]
    """The K classes, sorted; a label is an index into them."""
    pixels: np.ndarray
    """(N, S, S, 3) uint8, RGB."""
    labels: np.ndarray
    """(N,) int64."""
    sha256: str
    """Identity of names, pixels and labels, wherever the folder lies."""

    def split(self, test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (training, test) positions, ascending; every class has at least one of each."""
        training, test = [], []
        for label, name in enumerate(self.names):
            own = np.flatnonzero(self.labels == label)
            order = numpy_stream(seed, "vision", "split", name).permutation(own)
            held_out = min(max(1, round(test_share * len(own))), len(own) - 1)
            test.append(order[:held_out])
            training.append(order[held_out:])
        return np.sort(np.concatenate(training)), np.sort(np.concatenate(test))


def open_images(
    root: Path, side_px: int, cache: Path, progress: Progress | None = None
) -> ImageSet:
    """Return the images of ``root`` as squares of ``side_px``, decoded unless ``cache`` has them.

    An image of another shape is squeezed to the square; transparency is dropped. An image that
    changed (its size or time) makes the whole folder be decoded again.

    Raises:
        ImageFolderError: there is no folder, fewer than two classes, a class with fewer than two
            images, or an image that cannot be read.
    """
    names, found = _find(root)
    facts = [(path.relative_to(root).as_posix(), path.stat()) for path, _ in found]
    listing = [_VERSION, side_px, [[name, at.st_size, at.st_mtime_ns] for name, at in facts]]
    key = hashlib.sha256(json.dumps(listing).encode()).hexdigest()
    cached = cache / f"images-{key[:24]}.safetensors"
    labels = np.array([label for _, label in found], dtype=np.int64)
    pixels = _read_cache(cached)
    if pixels is None or pixels.shape != (len(found), side_px, side_px, 3):
        pixels = _decode_all([path for path, _ in found], side_px, progress or _silent)
        data = dump_arrays({"pixels": pixels}, metadata={"sha256": _sha256(pixels)})
        write_atomically(cached, data)
    identity = hashlib.sha256(json.dumps([names, labels.tolist(), _sha256(pixels)]).encode())
    return ImageSet(root, tuple(names), pixels, labels, identity.hexdigest())


def _find(root: Path) -> tuple[list[str], list[tuple[Path, int]]]:
    """Return the names of the classes, and each image with its label."""
    if not root.is_dir():
        raise ImageFolderError(
            f"{root}: no such folder. Name a folder that holds one folder of PNG or JPEG images "
            "for each class."
        )
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(folders) < 2:
        only = f"the only class is {folders[0].name!r}" if folders else "no class folder is in it"
        raise ImageFolderError(
            f"{root}: {only}, and telling classes apart takes two. Name the folder above the "
            "folders of the classes."
        )
    found: list[tuple[Path, int]] = []
    for label, folder in enumerate(folders):
        own = sorted(path for path in folder.iterdir() if _is_image(path))
        if len(own) < _PER_CLASS:
            raise ImageFolderError(
                f"{folder}: {len(own)} PNG or JPEG images, and a class needs {_PER_CLASS}: one to "
                "train with and one to test with. Add images, or take the folder away."
            )
        found += [(path, label) for path in own]
    return [folder.name for folder in folders], found


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()


def _decode_all(paths: list[Path], side_px: int, progress: Progress) -> np.ndarray:
    pixels = np.empty((len(paths), side_px, side_px, 3), dtype=np.uint8)
    with ThreadPoolExecutor(available_processors()) as pool:
        for index, image in enumerate(pool.map(lambda path: _decode(path, side_px), paths)):
            pixels[index] = image
            if (index + 1) % _REPORT_EVERY == 0 or index + 1 == len(paths):
                progress("decoding images", index + 1, len(paths))
    return pixels


def _decode(path: Path, side_px: int) -> np.ndarray:
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are too many")
            square = image.convert("RGB").resize((side_px, side_px), Image.Resampling.BILINEAR)
            return np.asarray(square)
    except _UNREADABLE as error:
        raise ImageFolderError(
            f"{path}: not a readable PNG or JPEG image ({_reason(error)}). Replace this file, or "
            "take it away."
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is of another format"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")


def _read_cache(path: Path) -> np.ndarray | None:
    """Return the decoded pixels; None where there are none, or a byte of them was altered."""
    try:
        with safe_open(path, framework="numpy") as file:
            pixels: np.ndarray = file.get_tensor("pixels")
            whole = file.metadata()["sha256"] == _sha256(pixels)
    except (OSError, SafetensorError, KeyError, TypeError):
        return None
    return pixels if whole else None


def _sha256(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def _silent(what: str, done: int, total: int) -> None:
    del what, done, total
