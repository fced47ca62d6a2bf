"""Rows of measurements, one JSON object a line, so that what is done outlives an interruption."""

from pathlib import Path

from pydantic import BaseModel


def append_row(path: Path, row: BaseModel) -> None:
    """Add ``row`` to the file at ``path``, which is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(row.model_dump_json() + "\n")
