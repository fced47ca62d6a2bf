"""`subset`: a part of another corpus: of its split, of its speakers, of its clips."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from shared.config import Frozen
from shared.corpora.base import Clip, Corpus, CorpusError, Progress
from shared.corpora.split import MIN_CLIPS, split_by_speaker
from shared.corpora.whole import WholeCorpus
from shared.seeding import numpy_stream


class SubsetSpec(Frozen):
    """Takes a part of a split, then some speakers, then some clips of another corpus.

    ``part`` is the very split that ``earshot-victim train`` makes with the seed ``split_seed``, as
    long as every file of the corpus can be decoded. That command leaves unreadable files out before
    it splits, and here nothing is decoded yet: of a speaker with such a file, clips of another part
    may be among these.
    """

    kind: Literal["subset"] = "subset"
    of: WholeCorpus = Field(discriminator="kind")
    """The whole corpus; a subset of a subset is said in one by the fields below."""
    part: Literal["all", "train", "validation", "test"] = "all"
    split_seed: int = Field(default=0, ge=0)
    """The `seed` of the victim's recipe."""
    speakers: int | None = Field(default=None, ge=2)
    """How many speakers are kept, drawn at random; all unless given."""
    clips: int | None = Field(default=None, ge=2)
    """How many clips are kept, spread over the speakers as evenly as they have them."""
    seed: int = Field(default=0, ge=0)
    """Draws the speakers and the clips."""

    def build(self, cache: Path, progress: Progress | None = None) -> Corpus:
        """The corpus of the kept clips.

        Raises:
            CorpusError: the whole corpus cannot be used, or has fewer speakers or clips than asked.
        """
        whole = self.of.build(cache, progress)
        clips = self._keep_part(whole)
        if self.speakers is not None:
            clips = self._keep_speakers(clips, whole.name)
        if self.clips is not None:
            clips = self._keep_clips(clips, whole.name)
        return Corpus.checked(f"{whole.name}-{self._name()}", clips, Path(whole.name))

    def _name(self) -> str:
        words: list[str] = [self.part]
        words += [f"{self.speakers}-speakers"] if self.speakers is not None else []
        words += [f"{self.clips}-clips"] if self.clips is not None else []
        return "-".join(words)

    def _keep_part(self, whole: Corpus) -> Sequence[Clip]:
        if self.part == "all":
            return whole.clips
        counts = Counter(clip.speaker for clip in whole.clips)
        usable = [clip for clip in whole.clips if counts[clip.speaker] >= MIN_CLIPS]
        split = split_by_speaker(usable, self.split_seed)
        return [usable[index] for index in getattr(split, self.part)]

    def _keep_speakers(self, clips: Sequence[Clip], name: str) -> Sequence[Clip]:
        present = sorted({clip.speaker for clip in clips})
        if self.speakers is None or len(present) < self.speakers:
            raise CorpusError(
                f"corpus {name!r}: {self.speakers} speakers are wanted, and the part "
                f"{self.part!r} has {len(present)}. Lower `speakers`."
            )
        order = numpy_stream(self.seed, "subset", "speakers").permutation(len(present))
        kept = {present[place] for place in order[: self.speakers]}
        return [clip for clip in clips if clip.speaker in kept]

    def _keep_clips(self, clips: Sequence[Clip], name: str) -> Sequence[Clip]:
        if self.clips is None or len(clips) < self.clips:
            raise CorpusError(
                f"corpus {name!r}: {self.clips} clips are wanted, and the part {self.part!r} has "
                f"{len(clips)}. Lower `clips`."
            )
        queues: dict[str, list[Clip]] = defaultdict(list)
        for clip in clips:
            queues[clip.speaker].append(clip)
        turns: list[tuple[int, int, Clip]] = []
        first = numpy_stream(self.seed, "subset", "first").permutation(len(queues))
        for place, speaker in enumerate(sorted(queues)):
            own = queues[speaker]
            order = numpy_stream(self.seed, "subset", "clips", speaker).permutation(len(own))
            turns += [(turn, int(first[place]), own[index]) for turn, index in enumerate(order)]
        turns.sort(key=lambda entry: entry[:2])  # every speaker once, before any comes again
        return [clip for _, _, clip in turns[: self.clips]]
