"""`speaker_tree`: any folder that holds one folder of WAV or FLAC files per speaker."""

from pathlib import Path
from typing import Literal

from shared.config import Frozen
from shared.corpora.base import Clip, Corpus, Progress, audio_files, existing_folder


class SpeakerTreeSpec(Frozen):
    """`<root>/<speaker>/**/*.wav|flac`; deeper folders all belong to the speaker."""

    kind: Literal["speaker_tree"] = "speaker_tree"
    root: str
    """Folder of speaker folders; `~` and environment variables are expanded."""

    def build(self, cache: Path, progress: Progress | None = None) -> Corpus:
        """The corpus below `root`; nothing is written and `cache` is not used.

        Raises:
            CorpusError: `root` is missing, holds no audio, or holds a single speaker.
        """
        del cache, progress
        root = existing_folder(self.root)
        clips = [
            Clip(folder.name, path, path.relative_to(root).as_posix())
            for folder in sorted(root.iterdir())
            if folder.is_dir() and not folder.name.startswith(".")
            for path in audio_files(folder)
        ]
        return Corpus.checked(root.resolve().name, clips, root)
