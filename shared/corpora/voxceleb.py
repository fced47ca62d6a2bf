"""`voxceleb`: the published tree of VoxCeleb1 (interviews in the wild, 16 kHz WAV)."""

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

Part = Literal["dev", "test"]

_TEST_SPEAKERS = frozenset(f"id{number}" for number in range(10270, 10310))
_REGISTER = (
    "VoxCeleb1 may have to be asked for: register at robots.ox.ac.uk/~vgg/data/voxceleb, unpack "
    "the archives so that `<root>/wav/<speaker>/<video>/*.wav` exists, and set `root`."
)


class VoxCelebSpec(Frozen):
    """`<root>/wav/<speaker>/<video>/*.wav`, or the same below `<root>/dev` and `<root>/test`.

    Both parts together hold 1,251 speakers; the test part is speakers id10270 to id10309.
    """

    kind: Literal["voxceleb"] = "voxceleb"
    root: str
    """Folder that holds `wav/`; `~` and environment variables are expanded."""
    parts: tuple[Part, ...] = Field(default=("dev", "test"), min_length=1)
    download: bool = False
    """Whether a missing tree is fetched (about 40 GB, both parts; registration may be needed)."""

    def build(self, cache: Path, progress: Progress | None = None) -> Corpus:
        """The corpus of the wanted parts; `clip_id` is `<speaker>/<video>/<file>`.

        Raises:
            CorpusError: the root or a part is missing, the download failed, or there is no audio.
        """
        del cache
        if self.download:
            self._fetch()
        root = existing_folder(self.root)
        clips: list[Clip] = []
        for done, part in enumerate(sorted(set(self.parts))):
            if progress:
                progress("looking through voxceleb", done, len(set(self.parts)))
            clips += self._part(root, part)
        return Corpus.checked("voxceleb", clips, root)

    def _part(self, root: Path, part: Part) -> list[Clip]:
        own, merged = root / part / "wav", root / "wav"
        tree = own if own.is_dir() else merged
        speakers = (
            [
                folder
                for folder in sorted(tree.iterdir())
                if folder.is_dir() and (folder.name in _TEST_SPEAKERS) == (part == "test")
            ]
            if tree.is_dir()
            else []
        )
        if not speakers:
            raise CorpusError(
                f"neither {own} nor {merged} holds speakers of the {part} part. Leave {part} out "
                f"of `parts`, or add them. {_REGISTER}"
            )
        return [
            Clip(speaker.name, path, path.relative_to(tree).as_posix())
            for speaker in speakers
            for path in audio_files(speaker)
        ]

    def _fetch(self) -> None:
        from torchaudio.datasets import VoxCeleb1Identification  # slow to import, and seldom needed

        root = expanded(self.root)
        if (root / "wav").is_dir() or any((root / part / "wav").is_dir() for part in self.parts):
            return
        root.mkdir(parents=True, exist_ok=True)
        download_into(
            root / "wav",
            "wav",
            lambda work: VoxCeleb1Identification(work, subset="train", download=True),
            advice=_REGISTER,
        )
