"""`single_speaker`: one person who asks about nobody else."""

from typing import Literal

from shared.honest.base import HonestUser, Recordings, UserSpec, Utterance


class SingleSpeakerSpec(UserSpec):
    """One speaker of the victim's, such as the owner of a device."""

    kind: Literal["single_speaker"] = "single_speaker"

    def build(self, speech: Recordings, seed: int) -> HonestUser:
        """Return the user; the seed chooses the speaker."""
        return SingleSpeaker(self.kind, speech, seed)


class SingleSpeaker(HonestUser):
    """Utterances of one speaker."""

    def __init__(self, kind: str, speech: Recordings, seed: int) -> None:
        super().__init__(kind, speech, seed)
        self.speaker = int(self.stream("speaker").choice(self.speakers))

    def say(self, query: int) -> Utterance:
        """Return something new of the one speaker."""
        return Utterance(self.utterance(self.speaker, self.stream("clip", query)), self.speaker)
