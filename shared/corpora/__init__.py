"""Corpora: one file each, one table. A spec says where speech is; `build` returns its clips."""

from typing import Annotated

from pydantic import Field

from shared.corpora.base import Clip, Corpus, CorpusError, Progress
from shared.corpora.librispeech import LibriSpeechSpec
from shared.corpora.speaker_tree import SpeakerTreeSpec
from shared.corpora.voices import VoicesSpec
from shared.corpora.voxceleb import VoxCelebSpec

CorpusSpec = Annotated[
    LibriSpeechSpec | SpeakerTreeSpec | VoicesSpec | VoxCelebSpec, Field(discriminator="kind")
]
"""The table of corpora; adding one here adds it to every YAML schema."""

__all__ = [
    "Clip",
    "Corpus",
    "CorpusError",
    "CorpusSpec",
    "LibriSpeechSpec",
    "Progress",
    "SpeakerTreeSpec",
    "VoicesSpec",
    "VoxCelebSpec",
]
