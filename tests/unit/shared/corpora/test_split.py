from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.corpora.base import Clip
from shared.corpora.split import part_sizes, split_by_speaker


def clips(**counts: int) -> list[Clip]:
    return [
        Clip(speaker, Path(f"/x/{speaker}/{number}.wav"), f"{speaker}/{number:04d}.wav")
        for speaker, count in counts.items()
        for number in range(count)
    ]


def chosen(items: list[Clip], seed: int = 0) -> dict[str, str]:
    split = split_by_speaker(items, seed)
    return {
        items[index].clip_id: part
        for part in ("train", "validation", "test")
        for index in getattr(split, part)
    }


def test_the_fractions_hold_for_every_speaker() -> None:
    items = clips(ann=60, bob=10, eve=160)
    split = split_by_speaker(items, seed=3)
    for part, sizes in (
        (split.train, {"ann": 36, "bob": 6, "eve": 96}),
        (split.validation, {"ann": 12, "bob": 2, "eve": 32}),
        (split.test, {"ann": 12, "bob": 2, "eve": 32}),
    ):
        assert Counter(items[index].speaker for index in part) == sizes


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 2**63 - 1))
def test_every_clip_is_in_exactly_one_part(counts: list[int], seed: int) -> None:
    items = clips(**{f"s{number}": count for number, count in enumerate(counts)})
    split = split_by_speaker(items, seed)
    together = [*split.train, *split.validation, *split.test]
    assert sorted(together) == list(range(len(items)))
    assert all(list(part) == sorted(part) for part in (split.train, split.validation, split.test))
    assert {items[index].speaker for index in split.train} == {clip.speaker for clip in items}


@given(st.integers(1, 500), st.integers(0, 20), st.integers(0, 20))
def test_sizes_follow_the_fractions(count: int, validation: int, test: int) -> None:
    fractions = (1 - (validation + test) / 50, validation / 50, test / 50)
    sizes = part_sizes(count, fractions)
    assert sum(sizes) == count
    assert all(size >= 0 for size in sizes)
    for size, fraction in zip(sizes, fractions, strict=True):
        assert abs(size - count * fraction) <= 2
        if count >= 3:
            assert (size > 0) == (fraction > 0)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (4, (2, 1, 1)), (5, (3, 1, 1))],
)
def test_speakers_with_few_clips(count: int, expected: tuple[int, int, int]) -> None:
    assert part_sizes(count, (0.6, 0.2, 0.2)) == expected


def test_the_split_is_pinned() -> None:
    # Published results depend on it: a change here makes old checkpoints incomparable.
    split = split_by_speaker(clips(ann=10), seed=0)
    assert (split.train, split.validation, split.test) == ((2, 3, 4, 5, 7, 9), (6, 8), (0, 1))


def test_neither_order_nor_other_speakers_change_it() -> None:
    items = clips(ann=20, bob=20)
    alone = chosen(clips(ann=20))
    shuffled = [items[index] for index in np.random.default_rng(0).permutation(len(items))]
    assert chosen(shuffled) == chosen(items)
    assert {name: part for name, part in chosen(items).items() if name in alone} == alone


def test_seeds_differ() -> None:
    assert chosen(clips(ann=20), 1) == chosen(clips(ann=20), 1)
    assert chosen(clips(ann=20), 1) != chosen(clips(ann=20), 2)


@pytest.mark.parametrize(
    "fractions", [(0.6, 0.2, 0.1), (0.6, 0.6, -0.2), (0.0, 0.5, 0.5), (float("nan"), 0.5, 0.5)]
)
def test_fractions_that_make_no_sense(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="three numbers"):
        split_by_speaker(clips(ann=5), 0, fractions)
