"""Reading a study's folder: what is there, what may be missing, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from attacker.errors import ExperimentError
from attacker.lab.study.read import is_study, read_study
from tests.support import study_tables as made


def test_a_whole_study_is_read(folder: Path) -> None:
    tables = read_study(folder)
    assert is_study(folder)
    assert len(tables.cells) == 2 * 3 + 2 * 2 * 3
    assert tables.honest is not None
    assert tables.detections is not None
    assert tables.cells[-1].kinds() == ("guard",)
    manifest = tables.manifest
    assert manifest.text("victim", "checkpoint") == made.CHECKPOINT
    assert manifest.text("no", "such") is None
    document = manifest.document("guard", "soft")
    assert document is not None
    assert document["rate_per_s"] == 5.0
    assert manifest.document("guard", "hard") is None


def test_only_the_cells_are_needed(tmp_path: Path, rows: made.Rows) -> None:
    tables = read_study(made.write_all(tmp_path, rows))
    assert (tables.honest, tables.detections) == (None, None)
    assert tables.manifest.document("none", "soft") is None
    assert tables.manifest.labels("plans") == {}


def test_a_table_without_rows_counts_as_not_measured(folder: Path) -> None:
    _no_rows(folder, "honest.parquet")
    assert read_study(folder).honest is None


def test_nan_is_null(tmp_path: Path, rows: made.Rows) -> None:
    rows[0]["accuracy"] = float("nan")
    assert read_study(made.write(tmp_path, rows)).cells[0].accuracy is None


def test_further_columns_do_not_matter(tmp_path: Path, rows: made.Rows) -> None:
    made.write(tmp_path, [{**row, "of_tomorrow": 1} for row in rows])
    assert len(read_study(tmp_path).cells) == len(rows)


def _no_cells(folder: Path) -> None:
    (folder / "cells.parquet").unlink()


def _no_column(folder: Path) -> None:
    made.write(folder, [{"plan": "none"}])


def _no_rows(folder: Path, name: str = "cells.parquet") -> None:
    table = pq.read_table(folder / name)
    pq.write_table(table.slice(0, 0), folder / name)


def _no_parquet(folder: Path) -> None:
    (folder / "honest.parquet").write_bytes(b"not a table")


def _wrong_type(folder: Path) -> None:
    made.write(folder, [made.detection("prada", "naive", alarms="many")], "detections")


def _no_json(folder: Path) -> None:
    (folder / "study.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_no_cells, "no cells.parquet"),
        (_no_column, "no column accuracy, adaptive"),
        (_no_rows, "no cell has finished"),
        (_no_parquet, "honest.parquet: cannot be read"),
        (_wrong_type, "row 0: alarms"),
        (_no_json, "not JSON"),
    ],
)
def test_what_cannot_be_read_is_refused(
    folder: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(folder)
    with pytest.raises(ExperimentError, match=said):
        read_study(folder)


@pytest.mark.parametrize("chain", ["", "{", json.dumps([1]), json.dumps([{}])])
def test_a_chain_that_is_none_is_refused(tmp_path: Path, rows: made.Rows, chain: str) -> None:
    rows[0]["chain"] = chain
    with pytest.raises(ExperimentError, match="no list of defences"):
        read_study(made.write(tmp_path, rows)).cells[0].kinds()
