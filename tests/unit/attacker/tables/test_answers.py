"""Generators that learn from the answers of a row: what is refused, and what runs before what."""

from pathlib import Path
from typing import Any

import pytest

from attacker.cells.cell import mark_done
from attacker.cells.jobs import Job
from attacker.tables.file import load_table
from attacker.tables.ingredients import Ingredient
from attacker.tables.resolve import Resolved, resolve
from attacker.tables.run import TableRunner
from attacker.tables.schema import Table
from attacker.wavegan.config import AnswerWeights, TrainGanFile
from shared.config import ConfigError, load_yaml
from tests.support.tables import UNSURE, write_table, write_victim

WEIGHTED = "generators__unsure__answers"


@pytest.fixture(autouse=True)
def victim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EARSHOT_VICTIM", str(tmp_path / "victim"))
    return write_victim(tmp_path / "victim")


def table(tmp_path: Path, **changes: Any) -> Table:
    return load_table(write_table(tmp_path / "t.yaml", **{**UNSURE, **changes}), "desk")


def resolved(tmp_path: Path, **changes: Any) -> Resolved:
    return resolve(table(tmp_path, **changes), tmp_path / "out", tmp_path / "out" / "victim")


def unsure(found: Resolved) -> Ingredient:
    return next(one for one in found.ingredients if one.name == "generator unsure")


def jobs(tmp_path: Path, found: Resolved) -> dict[str, Job]:
    runner = TableRunner(
        table=found.table,
        profile="desk",
        out=tmp_path / "out",
        url="http://nowhere",
        keys=("k",),
        cache=tmp_path / "cache",
        device="cpu",
        patience_s=1,
    )
    return {job.name: job for job in runner._jobs(found, tmp_path / "out" / "victim")}


def test_the_generator_waits_for_the_cell_of_its_seed_and_its_rows_for_it(tmp_path: Path) -> None:
    found = resolved(tmp_path)
    graph = jobs(tmp_path, found)
    assert graph["generator unsure"].needs == ("proxy-full-s1",)
    assert [graph[f"unsure-s{seed}"].needs for seed in (0, 1)] == [("generator unsure",)] * 2
    assert graph["proxy-full-s1"].needs == graph["generator gan"].needs == ()
    for job in graph.values():
        assert set(job.needs) <= set(graph)  # or it would wait for ever


def test_it_reads_the_journal_of_that_cell_and_lies_with_the_victim(tmp_path: Path) -> None:
    found = resolved(tmp_path)
    one, graph = unsure(found), jobs(tmp_path, found)
    assert one.folder.parent == tmp_path / "out" / "victim" / "generators"
    one.write()
    job = graph["generator unsure"]
    file = load_yaml(Path(job.arguments[1]), TrainGanFile)
    asked = graph["proxy-full-s1"].folder
    assert file.answers == AnswerWeights(run=str(asked), campaign="attack", queries=30)
    assert file == one.file


@pytest.mark.parametrize("place", [0, 5])
def test_of_equal_rows_the_one_that_is_run_is_waited_for(tmp_path: Path, place: int) -> None:
    again = {"id": "again", "label": "x", "source": {"kind": "proxy"}}
    rows = [*UNSURE["rows"][:place], again, *UNSURE["rows"][place:]]
    found = resolve(
        load_table(write_table(tmp_path / "t.yaml", **{**UNSURE, "rows": rows}), "desk"),
        tmp_path / "out",
        tmp_path / "out" / "victim",
    )
    first = "again-s1" if place == 0 else "proxy-full-s1"
    graph = jobs(tmp_path, found)
    assert graph["generator unsure"].needs == (first,)
    assert {"again-s1", "proxy-full-s1"} & set(graph) == {first}
    file = unsure(found).file
    assert isinstance(file, TrainGanFile)
    assert file.answers is not None
    assert file.answers.run == str(graph[first].folder)


def test_a_cell_that_another_table_has_finished_is_read_where_it_lies(tmp_path: Path) -> None:
    cell = resolved(tmp_path).cells["proxy-full"][1]
    elsewhere = tmp_path / "out" / "victim" / "cells" / f"whole-s1-{cell.identity}"
    mark_done(elsewhere, {})
    found = resolved(tmp_path)
    file = unsure(found).file
    assert isinstance(file, TrainGanFile)
    assert file.answers is not None
    assert file.answers.run == str(elsewhere)
    (tmp_path / "moved").mkdir()
    assert unsure(found).identity == unsure(resolved(tmp_path / "moved")).identity


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"rows__0__surrogate": {"labels": "hard"}}, False),
        ({"rows__0__budget": 35}, False),
        ({WEIGHTED + "__row": "known-1"}, False),
        ({WEIGHTED + "__by": "label"}, False),
        ({WEIGHTED + "__power": 2.0}, False),
        ({WEIGHTED + "__queries": 20}, False),
        ({"generators__unsure__gan__seed": 0}, False),
        ({WEIGHTED + "__by": None}, True),  # entropy is what it is without
        ({"rows__1__label": "another"}, True),
        ({"rows__2__budget": 30}, True),
        ({"generators__unsure__gan__preview_every": 7}, True),
    ],
)
def test_its_identity_is_that_of_what_it_learns_from(
    tmp_path: Path, change: dict[str, Any], same: bool
) -> None:
    before, after = (resolved(tmp_path, **changes) for changes in ({}, change))
    assert (unsure(before).identity == unsure(after).identity) is same
    rows = [
        [cell.identity for cell in found.cells["unsure"]] for found in (before, after)
    ]  # whatever changes the generator changes what it sends
    assert (rows[0] == rows[1]) is same


def test_what_learns_from_no_answers_is_what_it_was_before_there_were_any(tmp_path: Path) -> None:
    found = resolved(tmp_path)
    plain = next(one for one in found.ingredients if one.name == "generator gan")
    # As the versions before named them: finished ones stay valid.
    assert plain.identity == "8037f4f8c07c"
    assert plain.folder.parent == tmp_path / "out" / "generators"
    assert [cell.identity for cell in found.cells["gan"]] == ["fc10cb7b4d25", "ff156038ed9e"]
    without = resolved(tmp_path, **{WEIGHTED: None})
    assert unsure(without).identity != unsure(found).identity
    assert unsure(without).needs == ()


@pytest.mark.parametrize(("change", "bill"), [({}, 70), ({WEIGHTED + "__queries": None}, 80)])
def test_the_answers_are_on_the_bill_of_the_rows_that_use_them(
    tmp_path: Path, change: dict[str, Any], bill: int
) -> None:
    found = table(tmp_path, **change)
    assert found.bill(found.row("unsure")) == bill
    assert [found.bill(row) for row in found.rows[:2]] == [40, 20]
    assert found.bill(found.row("gan")) == 40


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({WEIGHTED + "__row": "absent"}, ["row 'absent'", "proxy-full"]),
        ({WEIGHTED + "__row": "victim"}, ["row 'victim'"]),
        ({WEIGHTED + "__row": "unsure"}, ["'unsure' itself", "cannot be made before", "`proxy`"]),
        ({WEIGHTED + "__row": "gan"}, ["'gan' sends 'wavegan'", "Name a row"]),
        ({"rows__0__source": {"kind": "speed"}}, ["sends 'speed'", "Name a row"]),
        ({WEIGHTED + "__row": "few"}, ["'few' asks", "the corpus 'proxy'", "seed 1"]),
        ({"generators__unsure__corpus": "few"}, ["other clips", "the corpus 'few'"]),
        ({"generators__unsure__gan__seed": 7}, ["gan.seed 7", "seeds are 0, 1", "Set gan.seed"]),
        ({WEIGHTED + "__queries": 41}, ["queries is 41", "buys 40", "Lower queries"]),
        ({WEIGHTED + "__queries": 0}, ["queries", "greater than or equal to 1"]),
        ({WEIGHTED + "__by": "mood"}, ["answers.by"]),
        ({WEIGHTED + "__run": "runs/x"}, ["answers.run", "unknown key"]),
        (
            {"generators__unsure": {"folder": "x", "answers": {"row": "proxy-full"}}},
            ["`folder`", "leave `answers` out"],
        ),
    ],
)
def test_what_cannot_be_learnt_from_is_explained_in_one_line(
    tmp_path: Path, change: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        table(tmp_path, **change)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "t.yaml"))
    assert "\n" not in message
    for word in ["generators.unsure", *words]:
        assert word in message


def test_clips_that_each_seed_draws_fit_in_seed_0_alone(tmp_path: Path) -> None:
    changes = {WEIGHTED + "__row": "few", "generators__unsure__corpus": "few"}
    changes[WEIGHTED + "__queries"] = None
    with pytest.raises(ConfigError, match=r"'few' asks, in seed 1.*gan\.seed 0 alone"):
        table(tmp_path, **changes)
    found = table(tmp_path, **changes, generators__unsure__gan__seed=0)
    assert found.bill(found.row("unsure")) == 60
