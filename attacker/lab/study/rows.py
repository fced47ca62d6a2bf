"""The tables of a study as Parquet: the columns of each, and how they are written and read."""

import io
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from attacker.errors import ExperimentError
from shared.checkpoint import write_atomically

CELLS_NAME, HONEST_NAME, DETECTIONS_NAME = "cells.parquet", "honest.parquet", "detections.parquet"
Type = Literal["text", "int", "float", "bool"]
Columns = Mapping[str, Type]
"""By name, the type of each column, in the order of the file."""

CELLS: Columns = {
    "study": "text", "cell": "text", "identity": "text", "plan": "text", "chain": "text",
    "label_mode": "text", "budget": "int", "attacker": "text", "adaptive": "bool",
    "knowledge": "text", "seed": "int", "accounts": "int", "bought": "int", "charged": "int",
    "price_per_clip": "float", "spent_money": "float", "kept": "int", "coverage": "float",
    "accuracy": "float", "fidelity": "float", "victim_accuracy": "float", "chance": "float",
    "queries_to_50": "int", "queries_to_80": "int", "queries_to_95": "int",
    "seconds": "float", "took_s": "float", "folder": "text",
}  # fmt: skip
"""One row a cell. ``chain`` (the defences) and ``knowledge`` are JSON; ``accounts`` are those
that bought, more than one for a Sybil; ``bought`` counts clips that were answered and ``charged``
what the ledger took for them, of all accounts; ``queries_to_50`` is the first mark at which the
surrogate has 50 % of the victim's accuracy, or null; ``seconds`` is the audio bought and ``took_s``
the wall time of the run that finished the cell; ``folder`` lies below the victim's."""

HONEST: Columns = {
    "study": "text", "plan": "text", "user": "text", "seed": "int", "clips": "int",
    "answered": "int", "refused": "int", "accuracy": "float", "victim_accuracy": "float",
    "ece": "float", "victim_ece": "float", "l1": "float", "p50_ms": "float", "p99_ms": "float",
    "base_p50_ms": "float", "windows": "int", "alarms": "int",
}  # fmt: skip
"""One row a plan, user profile and seed."""

DETECTIONS: Columns = {
    "study": "text", "detector": "text", "attacker": "text", "seed": "int", "accounts": "int",
    "queries": "int", "windows": "int", "alarms": "int", "threshold": "float",
    "false_alarm_target": "float", "first_alarm_query": "int", "stolen_mark": "int",
    "stolen_at_alarm": "float", "next_mark": "int", "stolen_at_next": "float", "last_mark": "int",
    "accuracy": "float",
}  # fmt: skip
"""One row a detector, attacker (``honest:<kind>`` of a user) and seed. ``study`` is the name of the
trial; the columns from ``stolen_mark`` on are those of ``attacker.lab.detection.stolen``."""

_TYPES: dict[Type, tuple[type, Any]] = {
    "text": (str, pa.string()),
    "int": (Integral, pa.int64()),
    "float": (Real, pa.float64()),
    "bool": (bool, pa.bool_()),
}
"""By type, what its values are in Python and in the file."""


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], columns: Columns) -> None:
    """Write ``rows`` to ``path`` at once; what a row leaves out is null.

    Raises:
        ValueError: a row has a column that is not there, or a value of another type.
    """
    found = list(rows)
    for row in found:
        _check(row, columns, path.name)
    schema = pa.schema([(name, _TYPES[kind][1]) for name, kind in columns.items()])
    plain = [{name: row.get(name) for name in columns} for row in found]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(plain, schema=schema), buffer)
    write_atomically(path, buffer.getvalue())


def write_models(path: Path, models: Iterable[BaseModel], columns: Columns) -> None:
    """Write the ``columns`` of ``models`` to ``path``, as :func:`write_rows` does."""
    write_rows(path, [one.model_dump(include=set(columns)) for one in models], columns)


def _check(row: Mapping[str, Any], columns: Columns, where: str) -> None:
    for name, value in row.items():
        if name not in columns:
            raise ValueError(f"{where} has no column {name}. Mend the row.")
        # Arrow would cut 1.5 to 1 without a word.
        if value is not None and not isinstance(value, _TYPES[columns[name]][0]):
            raise ValueError(f"{where}: {name} is {columns[name]}, not {value!r}. Mend the row.")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of ``path`` as plain values.

    Raises:
        ExperimentError: it is missing, or no Parquet file.
    """
    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ExperimentError(
            f"{path}: cannot be read ({type(error).__name__}). Run the study again; finished cells "
            "are kept."
        ) from error
    return rows
