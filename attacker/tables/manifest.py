"""table.json: what was run for a table, and where each cell of it lies."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attacker.cells.cell import Cell, is_done
from attacker.errors import ExperimentError
from attacker.run_folder import commit, lock_sha256
from attacker.tables.progress import MANIFEST_NAME, damaged
from attacker.tables.schema import Table
from shared.checkpoint import write_atomically
from shared.config import validate
from shared.contract import ModelCard

CELLS = "cells"
VICTIM_DIGITS = 12


@dataclass(frozen=True)
class CellRecord:
    """Where one cell of a table lies."""

    seed: int
    folder: Path
    """Its run folder."""
    identity: str

    @property
    def done(self) -> bool:
        """Whether it is finished."""
        return is_done(self.folder)


@dataclass(frozen=True)
class TableRun:
    """A table that was run, whole or in part."""

    folder: Path
    table: Table
    profile: str
    victim: ModelCard
    cells: dict[str, tuple[CellRecord, ...]]
    """By row id, in the order of the table's seeds."""
    command: str
    commit: str | None
    lock_sha256: str | None = None
    written_at: str | None = None


def victim_folder(out: Path, checkpoint_id: str) -> Path:
    """Return where everything that was bought of one victim lies below ``out``."""
    return out / checkpoint_id[:VICTIM_DIGITS]


def write_manifest(
    out: Path,
    table: Table,
    profile: str,
    victim: ModelCard,
    cells: dict[str, Sequence[Cell]],
    command: str,
) -> Path:
    """Write the manifest of ``table`` and return its folder."""
    home = victim_folder(out, victim.checkpoint)
    folder = home / f"{table.name}-{profile}"
    data = {
        "table": table.model_dump(mode="json"),
        "profile": profile,
        "victim": victim.model_dump(mode="json"),
        "cells": {
            row: [_plain(cell, home) for cell in row_cells] for row, row_cells in cells.items()
        },
        "command": command,
        "commit": commit(),
        "lock_sha256": lock_sha256(),
        "written_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / MANIFEST_NAME, text.encode())
    return folder


def read_manifest(folder: Path) -> TableRun:
    """Return the run of a table from its folder.

    Raises:
        ExperimentError: no table was run there, or its manifest is damaged.
    """
    path = folder / MANIFEST_NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return _run(folder, data)
    except OSError as error:
        raise ExperimentError(
            f"{path}: {error.strerror}. Name a folder that `earshot-attacker run TABLE` made."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def _run(folder: Path, data: dict[str, Any]) -> TableRun:
    cells = {
        row: tuple(
            CellRecord(one["seed"], folder.parent / one["folder"], one["identity"]) for one in found
        )
        for row, found in data["cells"].items()
    }
    return TableRun(
        folder=folder,
        table=validate(data["table"], Table, origin=str(folder / MANIFEST_NAME)),
        profile=data["profile"],
        victim=ModelCard.model_validate(data["victim"]),
        cells=cells,
        command=data["command"],
        commit=data["commit"],
        lock_sha256=data.get("lock_sha256"),
        written_at=data.get("written_at"),
    )


def _plain(cell: Cell, home: Path) -> dict[str, Any]:
    place = cell.folder(home / CELLS).relative_to(home)
    return {"seed": cell.experiment.seed, "folder": place.as_posix(), "identity": cell.identity}
