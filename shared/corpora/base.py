"""What every corpus is made of: clips that belong to speakers, found below a folder."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

Progress = Callable[[str, int, int], None]
"""Called as (what is being done, units done, units in all); it is called from one thread."""

AUDIO_SUFFIXES = frozenset({".wav", ".flac"})
_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]+)\})", re.ASCII)
"""What `os.path.expandvars` takes for a variable."""


class CorpusError(ValueError):
    """A corpus that cannot be used; the message names the place and what to do next."""


class UnsetVariableError(CorpusError):
    """A path holds an environment variable that is not set.

    Attributes:
        variable: its name.
    """

    def __init__(self, path: str, variable: str) -> None:
        super().__init__(
            f"{path}: the environment variable {variable} is not set. Set it to the folder that "
            f"is meant, as by `export {variable}=/path/to/folder`."
        )
        self.variable = variable


@dataclass(frozen=True)
class Clip:
    """One audio file of one speaker."""

    speaker: str
    path: Path
    clip_id: str
    """Path relative to the root of the corpus, with forward slashes."""


@dataclass(frozen=True)
class Corpus:
    """Clips of at least two speakers, in the order of their `clip_id`."""

    name: str
    clips: tuple[Clip, ...]

    @cached_property
    def speakers(self) -> tuple[str, ...]:
        """Distinct speakers, sorted."""
        return tuple(sorted({clip.speaker for clip in self.clips}))

    @classmethod
    def checked(cls, name: str, clips: Sequence[Clip], where: Path) -> "Corpus":
        """The corpus of `clips`, found below `where`.

        Raises:
            CorpusError: there is no audio, or it belongs to a single speaker.
        """
        corpus = cls(name, tuple(sorted(clips, key=lambda clip: clip.clip_id)))
        if not corpus.clips:
            raise CorpusError(
                f"{where}: no audio found. Put WAV or FLAC files into one folder per speaker there."
            )
        if len(corpus.speakers) < 2:
            raise CorpusError(
                f"{where}: the only speaker is {corpus.speakers[0]!r}. Add at least one more "
                "speaker folder, or check that `root` is the folder above the speakers."
            )
        return corpus


def expanded(root: str) -> Path:
    """The path that `root` names, with `~` and environment variables expanded.

    Raises:
        UnsetVariableError: it holds a variable that is not set, or empty.
    """
    for plain, braced in _VARIABLE.findall(root):
        if not os.environ.get(plain or braced):
            raise UnsetVariableError(root, plain or braced)
    return Path(os.path.expandvars(root)).expanduser()


def existing_folder(root: str, setting: str = "root") -> Path:
    """The folder that `root` names, expanded.

    Raises:
        CorpusError: it is not a folder; the message names the path and the setting, or the
            variable, to change.
    """
    path = expanded(root)
    if not path.is_dir():
        written = "" if str(path) == root else f" (written as {root!r})"
        raise CorpusError(
            f"{path}: no such folder{written}. Set `{setting}` to the folder that holds the corpus."
        )
    return path


def audio_files(folder: Path) -> Iterator[Path]:
    """Every WAV and FLAC file below `folder`, links followed once, hidden names left out.

    A folder that is reached twice (a loop of symbolic links) is walked the first time only.
    """
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES:
                yield Path(place) / name
