"""Corpora: one file each, one table. A spec says where speech is; `build` returns its clips."""

from typing import Annotated

from pydantic import Field

from shared.corpora.base import Clip, Corpus, CorpusError, Progress, UnsetVariableError, expanded
from shared.corpora.librispeech import LibriSpeechSpec
from shared.corpora.speaker_tree import SpeakerTreeSpec
from shared.corpora.subset import SubsetSpec
from shared.corpora.voices import VoicesSpec
from shared.corpora.voxceleb import VoxCelebSpec
from shared.corpora.whole import WholeCorpus

CorpusSpec = Annotated[WholeCorpus | SubsetSpec, Field(discriminator="kind")]
"""Every corpus; what is added to :data:`WholeCorpus` is added here and to every YAML schema."""

__all__ = [
    "Clip",
    "Corpus",
    "CorpusError",
    "CorpusSpec",
    "LibriSpeechSpec",
    "Progress",
    "SpeakerTreeSpec",
    "SubsetSpec",
    "UnsetVariableError",
    "VoicesSpec",
    "VoxCelebSpec",
    "WholeCorpus",
    "expanded",
]
