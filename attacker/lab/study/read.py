"""Reads what a study left in its folder: the three tables, beside the manifest.

Only what the page shows is read, so that a table may have further columns.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import field_validator

from attacker.errors import ExperimentError
from attacker.lab.detection.rows import Detection
from attacker.lab.study.manifest import PLACE, Manifest, read_manifest
from attacker.lab.study.rows import CELLS_NAME, DETECTIONS_NAME, HONEST_NAME
from shared.config import ConfigError, Frozen, validate

_AGAIN = {
    CELLS_NAME: "Run the study again with this release; finished cells are kept",
    HONEST_NAME: "Run `earshot-attacker honest` with --study again",
    DETECTIONS_NAME: "Run `earshot-attacker detections` with --study again",
}


class _Row(Frozen):
    """A row of a table; a float that is NaN counts as null."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_nan(cls, value: Any) -> Any:
        return None if isinstance(value, float) and math.isnan(value) else value


class CellRow(_Row):
    """What one attacker stole from one plan, at one budget, with one seed."""

    plan: str
    chain: str
    """JSON: the plan's defences."""
    label_mode: str
    budget: int
    attacker: str
    adaptive: bool
    seed: int
    identity: str
    """Rows of the same attack on the same plan share it: they are one cell, which was paid once."""
    bought: int
    """Clips that were answered."""
    price_per_clip: float
    spent_money: float
    accuracy: float | None
    """None where the cell was stopped before a surrogate could be trained."""
    fidelity: float | None
    victim_accuracy: float
    chance: float
    """Accuracy of guessing: one label of as many."""

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before a surrogate could be trained."""
        return self.accuracy is None

    @property
    def stolen(self) -> float:
        """Accuracy of what the thief has: whoever has no surrogate guesses."""
        return self.chance if self.accuracy is None else self.accuracy

    @property
    def agreement(self) -> float:
        """How often that is the victim's own answer, likewise."""
        return self.chance if self.fidelity is None else self.fidelity

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of the plan's defences, in order."""
        try:
            return tuple(str(one["kind"]) for one in json.loads(self.chain))
        except (ValueError, TypeError, KeyError) as error:
            raise ExperimentError(
                f"plan {self.plan}: its chain is no list of defences: {self.chain[:80]!r}. Write "
                f"{CELLS_NAME} again by running the study."
            ) from error


class HonestRow(_Row):
    """What one honest user lost under one plan, with one seed."""

    plan: str
    """The plan's id, or the name that it is sold under in one label mode."""
    user: str
    seed: int
    clips: int
    answered: int
    refused: int
    accuracy: float | None
    victim_accuracy: float | None
    ece: float | None
    victim_ece: float | None
    l1: float | None
    p50_ms: float | None
    base_p50_ms: float | None
    windows: int
    alarms: int


class DetectionRow(_Row, Detection):
    """What one detector said of one attacker, with one seed."""


@dataclass(frozen=True)
class StudyTables:
    """Everything that the page is made of."""

    folder: Path
    cells: tuple[CellRow, ...]
    honest: tuple[HonestRow, ...] | None
    """None where honest traffic was not measured."""
    detections: tuple[DetectionRow, ...] | None
    """None where detectors were not measured."""
    manifest: Manifest

    @property
    def missing(self) -> list[str]:
        """The names of cells that the study has by its manifest, and that have no row."""
        return self.manifest.cells_beside(
            {tuple(getattr(row, name) for name in PLACE) for row in self.cells}
        )


RowT = TypeVar("RowT", bound=_Row)


def is_study(folder: Path) -> bool:
    """Return whether ``folder`` holds the cells of a study."""
    return (folder / CELLS_NAME).is_file()


def read_study(folder: Path) -> StudyTables:
    """Return the tables of the study in ``folder``.

    Raises:
        ExperimentError: it holds no cells, or a table cannot be read.
    """
    return StudyTables(
        folder=folder,
        cells=read_cells(folder),
        honest=_read_if_there(folder / HONEST_NAME, HonestRow),
        detections=_read_if_there(folder / DETECTIONS_NAME, DetectionRow),
        manifest=read_manifest(folder),
    )


def read_cells(folder: Path) -> tuple[CellRow, ...]:
    """Return the finished cells of the study in ``folder``, at least one.

    Raises:
        ExperimentError: there is none, or the table cannot be read.
    """
    if not is_study(folder):
        raise ExperimentError(
            f"{folder}: there is no {CELLS_NAME} here. Name the folder of a study, which "
            "`earshot-attacker study` prints when it ends."
        )
    cells = _read(folder / CELLS_NAME, CellRow)
    if not cells:
        raise ExperimentError(f"{folder}: no cell has finished. Run the study first.")
    return cells


def _read_if_there(path: Path, model: type[RowT]) -> tuple[RowT, ...] | None:
    """Return the rows, or None where the file is missing or holds none: nothing was measured."""
    return (_read(path, model) or None) if path.is_file() else None


def _read(path: Path, model: type[RowT]) -> tuple[RowT, ...]:
    columns = list(model.model_fields)
    try:
        missing = sorted(set(columns) - set(pq.read_schema(path).names))
        if missing:
            lack = ", ".join(missing)
            raise ExperimentError(f"{path}: it has no column {lack}. {_AGAIN[path.name]}.")
        rows = pq.read_table(path, columns=columns).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ExperimentError(
            f"{path}: cannot be read ({type(error).__name__}). {_AGAIN[path.name]}."
        ) from error
    try:
        return tuple(validate(row, model, origin=f"{path}, row {n}") for n, row in enumerate(rows))
    except ConfigError as error:
        raise ExperimentError(f"{error}. {_AGAIN[path.name]}.") from error
