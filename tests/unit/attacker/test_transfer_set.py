"""Labelled clips are made once, kept as a map, and never half."""

import errno
import multiprocessing
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import attacker.transfer_set
from attacker.sources import Source, SourceContext
from attacker.sources.gaussian_noise import GaussianNoiseSpec
from attacker.transfer_set import Clips, TransferSet, kept_path

SAMPLES = 128
QUERIES = np.array([7, 3, 900, 12, 4])


class Counting:
    """Noise that counts how often it is made."""

    def __init__(self) -> None:
        def refuse() -> Any:
            raise AssertionError("noise needs no corpus")

        self.source = GaussianNoiseSpec().build(SourceContext(4000, SAMPLES, 0, refuse))
        self.made: list[int] = []
        plain = self.source.render

        def render(indices: np.ndarray) -> np.ndarray:
            self.made.extend(int(index) for index in indices)
            return plain(indices)

        self.source.render = render  # type: ignore[method-assign]
        self.plain = plain


@pytest.fixture
def noise() -> Counting:
    return Counting()


def identity(**changes: Any) -> dict[str, Any]:
    facts = {
        "campaign": {"name": "a", "source": {"kind": "gaussian_noise", "sigma": 0.1}},
        "seed": 0,
        "material": "m",
        "sample_rate_hz": 4000,
        "clip_samples": SAMPLES,
        "victim": "v",
    }
    return facts | changes


def test_clips_are_made_once_and_lie_in_a_file(noise: Counting, tmp_path: Path) -> None:
    place = tmp_path / "cache" / "labelled-x.int16"
    clips = Clips(noise.source, QUERIES, place)
    assert noise.made == QUERIES.tolist()
    assert clips.kept
    assert place.stat().st_size == 2 * SAMPLES * len(QUERIES)
    some = np.array([900, 7, 900])
    assert np.array_equal(clips.fetch(some), noise.plain(some))
    again = Clips(noise.source, QUERIES, place)
    assert np.array_equal(again.fetch(QUERIES), noise.plain(QUERIES))
    assert noise.made == QUERIES.tolist()
    assert list(place.parent.iterdir()) == [place]
    base: Any = again._kept
    assert isinstance(base, np.memmap)


@pytest.mark.parametrize("bound", [None, "bytes", "disk"])
def test_what_is_not_kept_is_made_again_and_the_same(
    noise: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str | None
) -> None:
    needed = 2 * SAMPLES * len(QUERIES)
    place = None if bound is None else tmp_path / "labelled-x.int16"
    if bound == "disk":
        limit_disk(monkeypatch, 2 * needed - 1)
    clips = Clips(noise.source, QUERIES, place, needed - 1 if bound == "bytes" else needed)
    assert not clips.kept
    assert noise.made == []
    for _ in range(2):
        assert np.array_equal(clips.fetch(QUERIES[1:3]), noise.plain(QUERIES[1:3]))
    assert noise.made == QUERIES[1:3].tolist() * 2
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_has_just_room_enough_keeps_them(
    noise: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_disk(monkeypatch, 4 * SAMPLES * len(QUERIES))
    assert Clips(noise.source, QUERIES, tmp_path / "x").kept


def limit_disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    @dataclass
    class Usage:
        free: int

    monkeypatch.setattr(attacker.transfer_set.shutil, "disk_usage", lambda _: Usage(free))


def test_a_disk_that_fills_up_meanwhile_is_no_error_and_leaves_nothing(
    noise: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(attacker.transfer_set.os, "fsync", full)
    clips = Clips(noise.source, QUERIES, tmp_path / "x")
    assert not clips.kept
    assert list(tmp_path.iterdir()) == []


def test_other_trouble_with_the_disk_is_told(
    noise: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(attacker.transfer_set.os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        Clips(noise.source, QUERIES, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_cut_short_is_made_anew(noise: Counting, tmp_path: Path) -> None:
    place = tmp_path / "x"
    Clips(noise.source, QUERIES, place)
    place.write_bytes(place.read_bytes()[:-2])
    clips = Clips(noise.source, QUERIES, place)
    assert np.array_equal(clips.fetch(QUERIES), noise.plain(QUERIES))
    assert len(noise.made) == 2 * len(QUERIES)


def keep_and_die(source: Source, place: Path) -> None:
    """In a child process: die while the second part is made."""
    plain, calls = source.render, []

    def render(indices: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(indices)

    source.render = render  # type: ignore[method-assign]
    Clips(source, np.arange(600), place)


def test_a_killed_process_leaves_no_file_and_the_next_sweeps_up(
    noise: Counting, tmp_path: Path
) -> None:
    place = tmp_path / "labelled-x.int16"
    child = multiprocessing.get_context("fork").Process(
        target=keep_and_die, args=(noise.source, place)
    )
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert not place.exists()
    assert len(list(tmp_path.iterdir())) == 1
    living = tmp_path / f".{place.name}.{os.getppid()}.tmp"
    living.touch()  # another process that keeps the same clips at this moment
    assert Clips(noise.source, np.arange(600), place).kept
    assert sorted(tmp_path.iterdir()) == sorted([place, living])


def test_discarded_clips_are_made_again(noise: Counting, tmp_path: Path) -> None:
    place = tmp_path / "x"
    clips, other = Clips(noise.source, QUERIES, place), Clips(noise.source, QUERIES, place)
    clips.discard()
    assert list(tmp_path.iterdir()) == []
    assert np.array_equal(clips.fetch(QUERIES), noise.plain(QUERIES))
    assert other.kept  # whoever had it open goes on with it
    assert np.array_equal(other.fetch(QUERIES), noise.plain(QUERIES))
    other.discard()


@pytest.mark.parametrize("wrong", [np.array([5]), np.array([7, 901]), np.array([0])])
def test_a_query_of_somebody_else_is_refused(noise: Counting, wrong: np.ndarray) -> None:
    with pytest.raises(KeyError, match="among these clips"):
        Clips(noise.source, QUERIES).fetch(wrong)


def test_no_clips_need_no_file(noise: Counting, tmp_path: Path) -> None:
    assert not Clips(noise.source, QUERIES[:0], tmp_path / "x").kept
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"material": "other"},
        {"sample_rate_hz": 8000},
        {"clip_samples": 64},
        {"campaign": {"name": "a", "source": {"kind": "gaussian_noise", "sigma": 0.2}}},
    ],
)
def test_the_file_is_named_by_what_the_clips_depend_on(change: dict[str, Any]) -> None:
    cache = Path("cache")
    assert kept_path(cache, identity(), QUERIES) != kept_path(cache, identity(**change), QUERIES)


def test_the_file_is_named_by_nothing_else() -> None:
    cache, source = Path("cache"), identity()["campaign"]["source"]
    other = identity(victim="w", campaign={"name": "b", "source": source, "sampler": "x"})
    assert kept_path(cache, identity(), QUERIES) == kept_path(cache, other, QUERIES)
    assert kept_path(cache, identity(), QUERIES) != kept_path(cache, identity(), QUERIES[::-1])


@pytest.mark.parametrize("soft", [True, False])
def test_hard_labels_are_the_most_probable_ones(noise: Counting, soft: bool) -> None:
    targets = np.array([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6]], dtype=np.float32)
    labels = np.array([1, 0, 1])
    transfer = TransferSet(Clips(noise.source, QUERIES), QUERIES[:3], targets if soft else labels)
    assert transfer.hard_labels().tolist() == [1, 0, 1]
    assert transfer.part(np.array([1])).hard_labels().tolist() == [0]
