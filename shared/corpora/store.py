"""A corpus decoded once: an int16 memory map in the cache folder, and crops of it."""

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.audio import (
    AudioError,
    Float32,
    Int16,
    from_int16,
    read_native,
    resample_many,
    to_int16,
)
from shared.corpora.base import Clip, Corpus, CorpusError, Progress
from shared.runtime import available_processors

MAX_CLIP_SECONDS = 60.0
"""Longer files are cut here, so that one stray recording cannot fill the memory or the disk."""

_VERSION = 1  # of the files below; raise it with any change of how audio is decoded
_SAMPLES, _INDEX = "samples.int16", "index.json"
_GROUP = 16  # files decoded together; a few groups are in flight, which bounds the memory
_REPORT_EVERY = 100  # files between two reports of progress

Indices = Sequence[int] | npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Skipped:
    """A file that could not be used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class _Decoded:
    sha256: str = ""
    wave: Int16 | None = None
    reason: str = ""


class ClipStore:
    """Random access to the decoded clips of a corpus; open it with `ClipStore.open`.

    Attributes:
        clips: the N usable clips, in the order of the corpus.
        skipped: files that could not be used.
        lengths: (N,) int64, samples of each clip.
        manifest: for each clip its clip_id, speaker, sha256 of the file and number of samples.
        manifest_sha256: identity of the manifest; equal for equal audio, wherever it lies.
        sample_rate_hz: the rate that all clips were resampled to.
    """

    def __init__(self, corpus: Corpus, sample_rate_hz: int, folder: Path) -> None:
        """Maps the complete store in `folder`; use `ClipStore.open` instead."""
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        self.sample_rate_hz = sample_rate_hz
        self.manifest: list[dict[str, Any]] = index["clips"]
        by_id = {clip.clip_id: clip for clip in corpus.clips}
        self.clips = tuple(by_id[entry["clip_id"]] for entry in self.manifest)
        self.skipped = tuple(
            Skipped(by_id[entry["clip_id"]].path, entry["reason"]) for entry in index["skipped"]
        )
        self.lengths = np.array([entry["samples"] for entry in self.manifest], dtype=np.int64)
        self._starts = np.concatenate(([0], np.cumsum(self.lengths)))
        total = int(self._starts[-1])
        if (folder / _SAMPLES).stat().st_size != 2 * total:
            raise ValueError("the samples do not match the index")
        self._samples: Int16 = np.zeros(0, dtype=np.int16)
        if total:
            self._samples = np.memmap(folder / _SAMPLES, dtype=np.int16, mode="r", shape=(total,))
        text = json.dumps([sample_rate_hz, self.manifest], sort_keys=True)
        self.manifest_sha256 = hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def open(
        cls, corpus: Corpus, sample_rate_hz: int, cache: Path, progress: Progress | None = None
    ) -> "ClipStore":
        """The store of `corpus` at `sample_rate_hz`; decodes it unless `cache` holds it already.

        A file that is unreadable, empty or not finite is listed in `skipped`, and the rest is used.
        A file that changed (its size or time) is decoded again.

        Raises:
            CorpusError: no clip, or only one speaker, is left.
        """
        folder = cache / f"clips-{_key(corpus, sample_rate_hz)}"
        store = cls._existing(corpus, sample_rate_hz, folder)
        if store is None:
            _decode_into(folder, corpus, sample_rate_hz, progress)
            store = cls(corpus, sample_rate_hz, folder)
        store._require_speakers(corpus)
        return store

    @classmethod
    def _existing(cls, corpus: Corpus, sample_rate_hz: int, folder: Path) -> "ClipStore | None":
        if not folder.is_dir():
            return None
        try:
            return cls(corpus, sample_rate_hz, folder)
        except (OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(folder, ignore_errors=True)  # damaged: it is only a cache
            return None

    def _require_speakers(self, corpus: Corpus) -> None:
        left = {clip.speaker for clip in self.clips}
        if len(left) >= min(2, len(corpus.speakers)) and self.clips:
            return
        examples = "; ".join(f"{item.path}: {item.reason}" for item in self.skipped[:3])
        raise CorpusError(
            f"corpus {corpus.name!r}: {len(self.skipped)} of {len(corpus.clips)} files cannot be "
            f"used and {len(left)} speakers are left ({examples}). Replace these files with "
            "readable WAV or FLAC audio."
        )

    def __len__(self) -> int:
        return len(self.clips)

    def wave(self, index: int) -> Float32:
        """All samples (T_i,) of clip `index`."""
        start = self._starts[index]
        return from_int16(self._samples[start : start + self.lengths[index]])

    def fixed_crops(self, indices: Indices, samples: int) -> Float32:
        """(B, T) the first T samples of each clip, zero-padded at the end where it is shorter."""
        wanted = np.asarray(indices, dtype=np.int64)
        return self._crops(wanted, samples, np.zeros(len(wanted)), np.zeros(len(wanted)))

    def random_crops(self, indices: Indices, samples: int, rng: np.random.Generator) -> Float32:
        """(B, T) T samples of each clip from a uniformly drawn start.

        A shorter clip is placed whole at a uniformly drawn place among zeros.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        excess = self.lengths[wanted] - samples
        drawn = rng.integers(0, np.abs(excess), endpoint=True)
        return self._crops(
            wanted, samples, np.where(excess > 0, drawn, 0), np.where(excess < 0, drawn, 0)
        )

    def _crops(
        self,
        wanted: npt.NDArray[np.int64],
        samples: int,
        starts: npt.NDArray[Any],
        places: npt.NDArray[Any],
    ) -> Float32:
        crops = np.zeros((len(wanted), samples), dtype=np.int16)
        firsts = self._starts[wanted] + starts.astype(np.int64)
        counts = np.minimum(self.lengths[wanted], samples)
        for row, (first, place, count) in enumerate(
            zip(firsts.tolist(), places.astype(np.int64).tolist(), counts.tolist(), strict=True)
        ):
            crops[row, place : place + count] = self._samples[first : first + count]
        return from_int16(crops)


def _key(corpus: Corpus, sample_rate_hz: int) -> str:
    """Identity of the files by name, size and time: hashing 100,000 files would take minutes."""
    digest = hashlib.sha256(f"{_VERSION} {sample_rate_hz}".encode())
    for clip in corpus.clips:
        try:
            status = clip.path.stat()
            state: tuple[int, ...] = (status.st_size, status.st_mtime_ns)
        except OSError:
            state = ()
        digest.update(repr((clip.clip_id, clip.speaker, str(clip.path), state)).encode())
    return digest.hexdigest()[:24]


def _decode(clips: Sequence[Clip], sample_rate_hz: int) -> list[_Decoded]:
    """Decodes a few clips; those of one rate are resampled together."""
    decoded = [_Decoded()] * len(clips)
    by_rate: dict[int, list[tuple[int, str, Float32]]] = defaultdict(list)
    for place, clip in enumerate(clips):
        try:
            wave, rate_hz = read_native(clip.path, MAX_CLIP_SECONDS)
            with clip.path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            by_rate[rate_hz].append((place, sha256, wave))
        except AudioError as error:
            decoded[place] = _Decoded(reason=str(error))
        except OSError as error:
            decoded[place] = _Decoded(reason=error.strerror or type(error).__name__)
    for rate_hz, group in by_rate.items():
        waves = resample_many([wave for _, _, wave in group], rate_hz, sample_rate_hz)
        for (place, sha256, _), wave in zip(group, waves, strict=True):
            decoded[place] = _Decoded(sha256, to_int16(wave))
    return decoded


def _decoded(corpus: Corpus, sample_rate_hz: int) -> Iterator[tuple[Clip, _Decoded]]:
    groups = [corpus.clips[start : start + _GROUP] for start in range(0, len(corpus.clips), _GROUP)]
    workers = available_processors()
    ahead = 4 * workers
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(groups), ahead):
            window = groups[start : start + ahead]
            results = pool.map(lambda group: _decode(group, sample_rate_hz), window)
            for group, decoded in zip(window, results, strict=True):
                yield from zip(group, decoded, strict=True)


def _decode_into(
    folder: Path, corpus: Corpus, sample_rate_hz: int, progress: Progress | None
) -> None:
    """Decodes into a scratch folder and renames it: `folder` is complete whenever it exists."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    usable: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    total = len(corpus.clips)
    with TemporaryDirectory(prefix=".clips-", dir=folder.parent) as scratch:
        ready = Path(scratch) / "ready"
        ready.mkdir()
        with (ready / _SAMPLES).open("wb") as file:
            for done, (clip, decoded) in enumerate(_decoded(corpus, sample_rate_hz), start=1):
                if decoded.wave is None:
                    skipped.append({"clip_id": clip.clip_id, "reason": decoded.reason})
                else:
                    file.write(decoded.wave.tobytes())
                    entry = {"clip_id": clip.clip_id, "speaker": clip.speaker}
                    usable.append({**entry, "sha256": decoded.sha256, "samples": len(decoded.wave)})
                if progress and (done % _REPORT_EVERY == 0 or done == total):
                    progress(f"decoding {corpus.name}", done, total)
        index = {"version": _VERSION, "clips": usable, "skipped": skipped}
        (ready / _INDEX).write_text(json.dumps(index, indent=0), encoding="utf-8")
        try:
            ready.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process has decoded the same meanwhile
                raise
