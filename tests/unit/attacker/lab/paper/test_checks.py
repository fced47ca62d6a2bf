"""The laboratory's checks of itself, on corpora that are there and on some that are not."""

import hashlib
from dataclasses import replace

import pytest

from attacker.lab.bundle import read_bundle
from attacker.lab.paper.checks import (
    Files,
    Opener,
    check_leaks,
    check_noise,
    check_own_clips,
    complete,
    find_leaks,
)
from attacker.lab.paper.findings import Check
from attacker.lab.paper.sheet import Sheet
from attacker.tables.claims import Figure
from attacker.tables.manifest import read_manifest
from shared.corpora import CorpusError, CorpusSpec, SpeakerTreeSpec
from tests.support.paper_cells import World, name_test_files


def sheet(**accuracy: tuple[float, ...]) -> Sheet:
    figures: dict[str, dict[Figure, dict[int, float]]] = {
        row: {"accuracy": dict(enumerate(values))} for row, values in accuracy.items()
    }
    return Sheet(figures, {}, victim_accuracy=0.9, n_classes=5, test_clips=1000)


def run_of(world: World):  # type: ignore[no-untyped-def]
    return read_manifest(next(world.out.glob("*/tiny-desk")))


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.2, 0.2), "passed"),
        ((0.5, 0.501), "failed"),
        ((0.1, 0.4), "not decided"),
        ((), "not decided"),
    ],
)
def test_noise_is_at_chance(world: World, values: tuple[float, ...], verdict: str) -> None:
    (check,) = check_noise(run_of(world), sheet(noise=values))
    assert check.verdict == verdict
    assert check.detail.startswith("tiny (desk), noise")


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.89, 0.891), "passed"),
        ((0.7, 0.701), "failed"),
        ((0.8, 0.95), "not decided"),
    ],
)
def test_own_clips_give_the_victim(
    finished: World, values: tuple[float, ...], verdict: str
) -> None:
    """The row is known by its clips: the victim's speakers, and as many as it was trained on."""
    opener = Opener(finished.cache)
    scene = sheet(own=values, proxy=(0.1, 0.1))
    (check,) = check_own_clips(run_of(finished), scene, finished.bundle, opener)
    assert check.verdict == verdict
    assert "own against victim" in check.detail


def test_a_part_of_the_training_clips_is_not_the_whole(finished: World) -> None:
    opener = Opener(finished.cache)
    for counts in ((1, 1, 1, 1, 1), (12, 13, 14, 15, 17)):
        other = replace(finished.bundle, class_counts=counts)
        assert not list(check_own_clips(run_of(finished), sheet(), other, opener))


def test_too_few_queries_prove_nothing(finished: World) -> None:
    """The row buys 80 answers: of 81 training clips, it would not have asked for each."""
    many = replace(finished.bundle, class_counts=(12, 13, 14, 15, 27))

    def same(spec: CorpusSpec, sample_rate_hz: int) -> Files:
        return Files(frozenset(), frozenset(finished.bundle.names), 81)

    assert not list(check_own_clips(run_of(finished), sheet(), many, same))


def test_a_corpus_that_is_gone_is_no_row_of_own_clips(finished: World) -> None:
    def gone(spec: CorpusSpec, sample_rate_hz: int) -> Files:
        raise CorpusError("gone. Bring it back.")

    assert not list(check_own_clips(run_of(finished), sheet(), finished.bundle, gone))
    leaks, unknown = find_leaks(run_of(finished), finished.bundle, gone)
    assert leaks == []
    assert len(unknown) == 2
    assert check_leaks(leaks, unknown, 1).verdict == "not checked"


def test_a_test_clip_in_a_proxy_is_found(world: World) -> None:
    """Three of the victim's test files lie in the proxy corpus, whatever they are called there."""
    files = sorted((world.root / "proxy").rglob("*.wav"))[:3]
    stolen = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    name_test_files(world.victim, stolen + [f"{n:064x}" for n in range(17)])
    bundle = read_bundle(world.victim / "bundle")
    leaks, unknown = find_leaks(run_of(world), bundle, Opener(world.cache))
    assert unknown == []
    assert len(leaks) == 1
    assert "3 of the 20 test files" in leaks[0]
    assert "row proxy" in leaks[0]
    check = check_leaks(leaks, unknown, 1)
    assert (check.verdict, check.detail) == ("failed", leaks[0])


def test_clean_corpora_pass(finished: World) -> None:
    leaks, unknown = find_leaks(run_of(finished), finished.bundle, Opener(finished.cache))
    assert (leaks, unknown) == ([], [])
    assert check_leaks(leaks, unknown, 1).verdict == "passed"


def test_a_bundle_without_files_cannot_be_checked(finished: World) -> None:
    silent = replace(finished.bundle, files=frozenset())
    leaks, unknown = find_leaks(run_of(finished), silent, Opener(finished.cache))
    assert leaks == []
    assert "does not name the files" in unknown[0]


def test_nothing_compared_is_nothing_passed() -> None:
    assert check_leaks([], [], 0).verdict == "not checked"


def test_a_corpus_is_opened_once(world: World) -> None:
    opener = Opener(world.cache)
    spec = SpeakerTreeSpec(root=str(world.root / "proxy"))
    first = opener(spec, 4000)
    assert (first.clips, first.speakers) == (16, frozenset({"ann", "bob"}))
    for path in (world.root / "proxy").rglob("*.wav"):
        path.unlink()
    assert opener(spec, 4000) is first
    missing = SpeakerTreeSpec(root=str(world.root / "nowhere"))
    for _ in range(2):
        with pytest.raises(CorpusError, match="nowhere"):
            opener(missing, 4000)


def test_a_check_that_no_table_has_a_row_for_is_said_not_to_be_made() -> None:
    both = complete([])
    assert [check.verdict for check in both] == ["not checked"] * 2
    made = Check(name="at_chance", text="t", verdict="passed", detail="d")
    assert [check.name for check in complete([made])] == ["at_chance", "about_equal"]
