"""`librispeech`: the published tree of LibriSpeech (read English, 16 kHz FLAC; openslr.org/12)."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from shared.config import Frozen
from shared.corpora.base import (
    Clip,
    Corpus,
    CorpusError,
    Progress,
    audio_files,
    existing_folder,
    expanded,
)
from shared.corpora.download import download_into

_FOLDER = "LibriSpeech"

Subset = Literal[
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
]


class LibriSpeechSpec(Frozen):
    """`<root>/LibriSpeech/<subset>/<speaker>/<chapter>/*.flac`.

    The default subsets are those of the reproduced paper: 1,252 speakers, of whom it used 1,251.
    """

    kind: Literal["librispeech"] = "librispeech"
    root: str
    """Folder that holds `LibriSpeech/`, or that folder itself; `~` and variables are expanded."""
    subsets: tuple[Subset, ...] = Field(
        default=("train-clean-100", "train-clean-360", "dev-clean", "test-clean"), min_length=1
    )
    download: bool = False
    """Whether missing subsets are fetched from openslr.org (6 GB and 23 GB for the train ones)."""

    def build(self, cache: Path, progress: Progress | None = None) -> Corpus:
        """The corpus of all subsets; `clip_id` starts with the subset.

        Raises:
            CorpusError: the root or a subset is missing, the download failed, or there is no audio.
        """
        del cache
        tree = self._tree()
        clips: list[Clip] = []
        for done, subset in enumerate(sorted(set(self.subsets))):
            if progress:
                progress("looking through librispeech", done, len(set(self.subsets)))
            if not (tree / subset).is_dir():
                self._fetch(tree, subset)
            clips += [
                Clip(speaker.name, path, path.relative_to(tree).as_posix())
                for speaker in sorted((tree / subset).iterdir())
                if speaker.is_dir()
                for path in audio_files(speaker)
            ]
        return Corpus.checked("librispeech", clips, tree)

    def _tree(self) -> Path:
        if self.download:
            expanded(self.root).mkdir(parents=True, exist_ok=True)
        root = existing_folder(self.root)
        # The folder of the subsets itself is accepted, however it is called.
        if not (root / _FOLDER).is_dir() and any((root / name).is_dir() for name in self.subsets):
            return root
        return root / _FOLDER

    def _fetch(self, tree: Path, subset: str) -> None:
        from torchaudio.datasets import LIBRISPEECH  # slow to import, and seldom needed

        if not self.download:
            raise CorpusError(
                f"{tree / subset}: this subset is not there. Set `root` to the folder that holds "
                f"{_FOLDER}/, leave {subset} out of `subsets`, or set `download: true`."
            )
        tree.mkdir(parents=True, exist_ok=True)
        download_into(
            tree / subset,
            f"{_FOLDER}/{subset}",
            lambda work: LIBRISPEECH(work, url=subset, download=True),
            advice=f"Run it again, or unpack {subset}.tar.gz of openslr.org/12 there.",
        )
