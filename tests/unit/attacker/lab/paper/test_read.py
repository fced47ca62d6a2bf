"""Where cells stand, and what the page calls their settings."""

import json
from pathlib import Path

import pytest

from attacker.errors import ExperimentError
from attacker.lab.paper.cells import CellScore
from attacker.lab.paper.read import read_rows, read_tables, row_result, settings_of, sheet_of
from attacker.tables.file import load_table
from attacker.tables.schema import Row
from shared.checkpoint import CheckpointError
from tests.support.paper_cells import World
from tests.support.paper_world import VICTIM, cell, score

TABLES = Path(__file__).parents[5] / "attacker" / "experiments" / "paper"


def read(world: World) -> dict[str, list[tuple[str, str, int]]]:
    """Return state, reason and clips of every cell, by row."""
    (run,) = read_tables(world.out)
    rows = read_rows(run, world.out, lambda folder: score(0.5))
    return {row.id: [(c.state, c.reason, c.bought) for c in row.cells] for row in rows}


def test_cells_that_were_never_started_are_there(world: World) -> None:
    assert read(world) == {name: [("not run", "not run yet", 0)] * 2 for name in world.cells}


def test_a_cell_that_failed_says_why(world: World) -> None:
    place = world.make("noise", 0)
    (place / "done.json").unlink()
    log = "$ earshot-attacker run\nerror: the old one\n$ earshot-attacker run\nerror: No disk.\n"
    (place / "job.log").write_text(log)
    assert read(world)["noise"][0] == ("failed", "No disk.", 40)


def test_a_cell_that_is_under_way_is_not_said_to_have_failed(world: World) -> None:
    place = world.make("noise", 0)
    (place / "done.json").unlink()
    (place / "job.log").write_text("$ earshot-attacker run\nerror: long ago\n$ earshot-attacker\n")
    state, reason, clips = read(world)["noise"][0]
    assert (state, clips) == ("unfinished", 40)
    assert "the same command goes on" in reason


def test_a_cell_whose_surrogate_is_damaged_has_failed(world: World) -> None:
    world.make("noise", 0)
    (run,) = read_tables(world.out)

    def refuse(folder: Path) -> CellScore:
        raise CheckpointError(f"{folder}: altered. Copy it again.")

    rows = {row.id: row for row in read_rows(run, world.out, refuse)}
    found = rows["noise"].cells[0]
    assert (found.state, "altered" in found.reason) == ("failed", True)
    assert rows["noise"].figures["accuracy"] is None


def test_a_defect_of_ours_is_not_hidden(world: World) -> None:
    world.make("noise", 0)
    (run,) = read_tables(world.out)

    def break_down(folder: Path) -> CellScore:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read_rows(run, world.out, break_down)


def test_a_note_of_completion_that_lacks_something_is_a_failed_cell(world: World) -> None:
    (world.make("noise", 0) / "done.json").write_text("{}")
    state, reason, _ = read(world)["noise"][0]
    assert state == "failed"
    assert "run the same command again" in reason


def test_a_cell_whose_note_of_completion_was_cut_is_not_finished(world: World) -> None:
    place = world.make("noise", 0)
    (place / "done.json").write_bytes((place / "done.json").read_bytes()[:40])
    (place / "job.log").write_text("$ earshot-attacker run\n")
    state, reason, clips = read(world)["noise"][0]
    assert (state, clips) == ("unfinished", 40)
    assert "the same command goes on" in reason


def test_a_cell_without_surrogate_has_volume_and_no_accuracy() -> None:
    row = load_table(TABLES / "table1.yaml", "desk").rows[0]
    bare = score(0.5).model_copy(update={"marks": (), "kept": 3})
    found = row_result(row, [cell(0, bare), cell(1, score(0.4, volume=5))])
    volume, accuracy = found.figures["volume"], found.figures["accuracy"]
    assert volume is not None
    assert accuracy is not None
    assert (volume.mean, volume.n) == (4, 2)
    assert (accuracy.mean, accuracy.n) == (0.4, 1)


def test_a_cell_that_kept_too_little_says_so(world: World) -> None:
    world.make("noise", 0)
    (run,) = read_tables(world.out)
    bare = score(0.5).model_copy(update={"marks": (), "kept": 1})
    rows = read_rows(run, world.out, lambda folder: bare)
    cells = {row.id: row.cells for row in rows}
    assert cells["noise"][0].reason == "no surrogate was trained: 1 answer kept"
    untrained = sheet_of(run, rows, VICTIM).untrained
    assert (untrained["noise"], untrained["own"]) == ((1,), ())


@pytest.mark.parametrize(
    ("table", "row", "words"),
    [
        ("table1", "proxy-full", ()),
        ("table1", "b1-p05-a2", ("p = 0.5 †", "A = 2 †")),
        ("table1", "b2-p1-s2", ("p = 1 †", "sigma = 2 †")),
        ("table1", "b4", ("sigma = 0.1 †",)),
        ("table4", "n1-dynamic-low", ("n = 1", "alpha = 0.5 †")),
        ("table4", "n10-static-high", ("n = 10", "tau = 150 †")),
    ],
)
def test_lost_settings_are_marked_as_ours(table: str, row: str, words: tuple[str, ...]) -> None:
    found: Row = load_table(TABLES / f"{table}.yaml", "desk").row(row)
    assert settings_of(found) == words


def test_known_layers_are_of_a_model() -> None:
    table = load_table(TABLES / "figure1.yaml", "desk")
    found = {row.id: row_result(row, []) for row in table.rows}
    assert (found["known-0"].source_model, found["known-0"].known_layers) == (None, 0)
    assert (found["victim-3"].source_model, found["victim-3"].known_layers) == ("victim", 3)
    assert found["victim-frozen-2"].source_model == "victim, frozen"


def test_claims_need_a_measured_victim(world: World) -> None:
    (run,) = read_tables(world.out)
    rows = read_rows(run, world.out, None)
    unmeasured = VICTIM.model_copy(update={"accuracy": None})
    with pytest.raises(ValueError, match="Give the victim's bundle"):
        sheet_of(run, rows, unmeasured)
    assert sheet_of(run, rows, VICTIM).n_classes == 30


def test_tables_of_a_victim_stand_together_and_in_order(world: World) -> None:
    """Whatever the digits of the checkpoints: the victim of the first table comes first."""
    manifest = next(world.out.glob("*/tiny-desk")) / "table.json"
    data = json.loads(manifest.read_text())
    for name, victim in (("table7", "0"), ("figure1", "f"), ("table1", "f"), ("beyond", "f")):
        changed = {**data, "table": {**data["table"], "name": name}}
        changed["victim"] = {**data["victim"], "checkpoint": victim * 64}
        place = world.out / victim / name / "table.json"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(changed))
    manifest.unlink()
    found = [run.table.name for run in read_tables(world.out)]
    assert found == ["table1", "beyond", "figure1", "table7"]


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="holds no table"):
        read_tables(tmp_path)
