"""The per-speaker split: every speaker's clips are shared out by the same fractions."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from shared.corpora.base import Clip
from shared.seeding import numpy_stream

Fractions = tuple[float, float, float]

MIN_CLIPS = 5
"""Clips that a speaker must have to be in all three parts of the split with something to spare."""


@dataclass(frozen=True)
class Split:
    """Indices into the clips that were split, ascending; together they hold each index once."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def split_by_speaker(
    clips: Sequence[Clip], seed: int, fractions: Fractions = (0.6, 0.2, 0.2)
) -> Split:
    """Splits each speaker's clips into train, validation and test.

    A clip's part depends on the seed and on the clip ids of its own speaker only: neither the order
    of `clips` nor the other speakers change it. Sizes are the fractions rounded by largest
    remainder, and a speaker of three or more clips is present in every part with a fraction above
    zero; of two clips one is for training and one for testing, a single one is for training.

    Raises:
        ValueError: the fractions are negative, do not sum to 1, or leave nothing to train on.
    """
    sums_to_one = abs(sum(fractions) - 1) <= 1e-9  # false for NaN as well
    if not sums_to_one or min(fractions) < 0 or fractions[0] == 0:
        raise ValueError(
            f"split fractions {fractions} are not usable. Give three numbers >= 0 that sum to 1, "
            "the first above 0."
        )
    by_speaker: dict[str, list[int]] = defaultdict(list)
    for index, clip in enumerate(clips):
        by_speaker[clip.speaker].append(index)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for speaker, indices in by_speaker.items():
        ordered = sorted(indices, key=lambda index: clips[index].clip_id)
        shuffled = numpy_stream(seed, "split", speaker).permutation(len(ordered))
        start = 0
        for part, size in zip(parts, part_sizes(len(ordered), fractions), strict=True):
            part.extend(ordered[place] for place in shuffled[start : start + size])
            start += size
    return Split(*(tuple(sorted(part)) for part in parts))


def part_sizes(count: int, fractions: Fractions) -> tuple[int, int, int]:
    """How many of a speaker's `count` clips go to train, validation and test."""
    exact = [count * fraction for fraction in fractions]
    sizes = [int(share + 1e-9) for share in exact]
    # Ties go to train, then test: a speaker without test clips cannot be measured at all.
    by_remainder = sorted((0, 2, 1), key=lambda part: round(sizes[part] - exact[part], 9))
    for part in by_remainder[: count - sum(sizes)]:
        sizes[part] += 1
    for part in (0, 2, 1):
        largest = max(range(3), key=lambda other: sizes[other])
        if sizes[part] == 0 and fractions[part] > 0 and sizes[largest] > 1:
            sizes[part] += 1
            sizes[largest] -= 1
    if count == 1:
        return 1, 0, 0
    return sizes[0], sizes[1], sizes[2]
