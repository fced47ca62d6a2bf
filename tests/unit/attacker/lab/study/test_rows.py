"""Parquet tables: every column keeps its type, and a wrong row is not written."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from attacker.errors import ExperimentError
from attacker.lab.study.rows import CELLS, DETECTIONS, HONEST, Columns, read_rows, write_rows

TABLES = {"cells": CELLS, "honest": HONEST, "detections": DETECTIONS}
VALUES: dict[str, Any] = {"text": 'α, "b"', "int": 2**53, "float": 0.1, "bool": True}


@pytest.mark.parametrize("name", TABLES)
def test_what_was_written_is_read(tmp_path: Path, name: str) -> None:
    columns: Columns = TABLES[name]
    full = {column: VALUES[kind] for column, kind in columns.items()}
    empty = dict.fromkeys(columns)
    write_rows(tmp_path / "t.parquet", [full, {}], columns)
    assert read_rows(tmp_path / "t.parquet") == [full, empty]
    write_rows(tmp_path / "t.parquet", [], columns)
    assert read_rows(tmp_path / "t.parquet") == []


def test_the_types_are_the_same_where_nothing_is_known(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.parquet", [{}], CELLS)
    write_rows(tmp_path / "b.parquet", [{c: VALUES[k] for c, k in CELLS.items()}], CELLS)
    schemas = [pq.read_schema(tmp_path / f"{name}.parquet") for name in "ab"]
    assert schemas[0] == schemas[1]
    assert schemas[0].field("accuracy").type == pa.float64()


@pytest.mark.parametrize(
    "row", [{"acuracy": 0.1}, {"accuracy": "0.1"}, {"budget": 1.5}, {"study": 3}]
)
def test_a_wrong_row_is_refused_and_the_file_stays(tmp_path: Path, row: dict[str, Any]) -> None:
    path = tmp_path / "cells.parquet"
    write_rows(path, [{"budget": 3}], CELLS)
    with pytest.raises(ValueError, match="Mend the row"):
        write_rows(path, [row], CELLS)
    assert [found["budget"] for found in read_rows(path)] == [3]


@pytest.mark.parametrize("content", [None, b"", b"PAR1 nothing of the kind"])
def test_a_file_that_is_none_is_refused_with_what_to_do(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(ExperimentError, match="Run the study again"):
        read_rows(tmp_path / "t.parquet")
