"""The table of corpora that are found or made as a whole; a subset is taken of one of these."""

from shared.corpora.librispeech import LibriSpeechSpec
from shared.corpora.speaker_tree import SpeakerTreeSpec
from shared.corpora.voices import VoicesSpec
from shared.corpora.voxceleb import VoxCelebSpec

WholeCorpus = LibriSpeechSpec | SpeakerTreeSpec | VoicesSpec | VoxCelebSpec
"""One line a corpus; adding one here adds it to every YAML schema."""
