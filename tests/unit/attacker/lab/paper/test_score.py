"""A cell is scored once, by what it finished with, and a damaged one says so."""

import json
from pathlib import Path

import numpy as np
import pytest

from attacker.errors import CellUnfinished
from attacker.lab.bundle import BundleError
from attacker.lab.paper.score import Scorer, read_facts
from attacker.lab.reading import predict_surrogate
from tests.support.lab_world import bundle as other_bundle
from tests.support.paper_cells import TOOK_S, World


@pytest.fixture
def cell(world: World) -> Path:
    """A finished cell of noise, with surrogates at 20 and 40 queries."""
    return world.make("noise", 0)


def scorer(world: World, calls: list[str]) -> Scorer:
    def predict(folder: Path, clips: np.ndarray) -> np.ndarray:
        calls.append(folder.name)
        return predict_surrogate(folder, clips)

    return Scorer.of(world.bundle, world.root / "home", world.answer, predict, world.cache)


def test_a_cell_is_scored_once(world: World, cell: Path) -> None:
    calls: list[str] = []
    first = scorer(world, calls).score(cell)
    assert calls == ["20", "40"]
    assert scorer(world, calls).score(cell) == first
    assert calls == ["20", "40"]
    assert [mark.queries for mark in first.marks] == [20, 40]
    assert (first.bought, first.kept, first.retries) == (40, 40, 0)
    assert all(mark.recall == () for mark in first.marks)
    truth = world.bundle.labels
    victim = np.mean(world.answer(world.bundle.clips).argmax(axis=1) == truth)
    for mark, lead in zip(first.marks, first.leads, strict=True):
        assert lead.value == pytest.approx(mark.accuracy.value - 0.9 * victim)
        assert lead.low <= lead.value <= lead.high


def test_a_score_that_an_earlier_version_kept_is_read(world: World, cell: Path) -> None:
    first = scorer(world, []).score(cell)
    (path,) = (cell / "lab").glob("score-on-*.json")
    kept = json.loads(path.read_text())
    del kept["score"]["leads"]
    path.write_text(json.dumps(kept))
    assert scorer(world, []).score(cell) == first.model_copy(update={"leads": ()})


def test_the_victim_labels_its_split_once(world: World) -> None:
    calls: list[str] = []
    scorer(world, calls)

    def refuse(clips: np.ndarray) -> np.ndarray:
        raise AssertionError("asked again")

    home = world.root / "home"
    again = Scorer.of(world.bundle, home, refuse, predict_surrogate, world.cache)
    assert np.array_equal(again.ruler.victim, world.answer(world.bundle.clips))


@pytest.mark.parametrize("damage", ["", "{}", '{"version": 1, "victim": 3}'])
def test_a_damaged_note_of_a_score_is_made_again(world: World, cell: Path, damage: str) -> None:
    calls: list[str] = []
    first = scorer(world, calls).score(cell)
    (path,) = (cell / "lab").glob("score-on-*.json")
    path.write_text(damage)
    assert scorer(world, calls).score(cell) == first
    assert len(calls) == 4


def test_other_surrogates_are_scored_anew(world: World, cell: Path) -> None:
    """What is kept is under the ids of the surrogates: it is not the folder that counts."""
    calls: list[str] = []
    scorer(world, calls).score(cell)
    (path,) = (cell / "lab").glob("score-on-*.json")
    kept = json.loads(path.read_text())
    kept["surrogates"]["40"] = "00" * 32
    kept["score"]["kept"] = 999
    path.write_text(json.dumps(kept))
    assert scorer(world, calls).score(cell).kept == 40
    assert len(calls) == 4


def test_surrogates_that_a_cell_did_not_finish_with_are_refused(world: World, cell: Path) -> None:
    done = json.loads((cell / "done.json").read_text())
    done["attack"]["surrogates"]["40"] = "00" * 32
    (cell / "done.json").write_text(json.dumps(done))
    with pytest.raises(CellUnfinished, match="not those that it finished with"):
        scorer(world, []).score(cell)


def test_a_cell_of_another_victim_is_refused(world: World, cell: Path) -> None:
    ruler = other_bundle()
    victim = np.full((len(ruler.labels), ruler.n_classes), 1 / 6, dtype=np.float32)
    other = Scorer.of(ruler, world.root, lambda _: victim, predict_surrogate, world.cache)
    with pytest.raises(BundleError, match="belongs to the victim"):
        other.score(cell)


def test_what_was_noted_of_a_cell_is_read(cell: Path) -> None:
    facts = read_facts(cell)
    assert (facts.took_s, facts.bought) == (TOOK_S, 40)
    assert sorted(facts.surrogates) == ["20", "40"]


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"attack": {}, "took_s": 1}'])
def test_a_damaged_note_of_completion_says_what_to_do(cell: Path, damage: str) -> None:
    (cell / "done.json").write_text(damage)
    with pytest.raises(CellUnfinished, match="Remove it and run the same command again"):
        read_facts(cell)
