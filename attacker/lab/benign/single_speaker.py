"""`single_speaker`: one person who asks about nobody else."""

from typing import Literal

from attacker.lab.benign.base import HonestUser, UserSpec, Utterance
from attacker.lab.bundle import Bundle


class SingleSpeakerSpec(UserSpec):
    """One speaker of the victim's, such as the owner of a device."""

    kind: Literal["single_speaker"] = "single_speaker"

    def build(self, bundle: Bundle, seed: int) -> HonestUser:
        """Return the user; the seed chooses the speaker."""
        return SingleSpeaker(self.kind, bundle, seed)


class SingleSpeaker(HonestUser):
    """Utterances of one speaker."""

    def __init__(self, kind: str, bundle: Bundle, seed: int) -> None:
        super().__init__(kind, bundle, seed)
        self.speaker = int(self.stream("speaker").choice(self.speakers))

    def say(self, query: int) -> Utterance:
        """Return something new of the one speaker."""
        return Utterance(self.utterance(self.speaker, self.stream("clip", query)), self.speaker)
