"""How far the tables below a folder are, from their files alone.

A manifest is read as plain data here, for the schema of tables would take seconds to import: it
knows the networks.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attacker.cells.progress import bought, is_done
from attacker.errors import ExperimentError
from attacker.run_folder import RunFolder

MANIFEST_NAME = "table.json"


@dataclass(frozen=True)
class RowProgress:
    """How far one row of a table is."""

    row: str
    cells: int
    done: int
    bought: int
    """Clips, over all its seeds."""
    budget: int
    """Clips that all its seeds may buy."""


@dataclass(frozen=True)
class TableProgress:
    """How far one table is."""

    name: str
    profile: str
    victim: str
    """Its checkpoint."""
    rows: tuple[RowProgress, ...]

    @property
    def cells(self) -> int:
        """Rows times seeds."""
        return sum(row.cells for row in self.rows)

    @property
    def done(self) -> int:
        """Cells that are finished."""
        return sum(row.done for row in self.rows)


def find_manifests(out: Path) -> list[Path]:
    """Return the folders of all tables that were run below ``out``, of any victim, sorted."""
    return sorted(path.parent for path in out.glob(f"**/{MANIFEST_NAME}"))


def tables_below(folder: Path) -> list[Path]:
    """Return the folders of all tables below ``folder``; none where it is that of one run."""
    return [] if RunFolder(folder).experiment_path.is_file() else find_manifests(folder)


def read_progress(folder: Path) -> TableProgress:
    """Return how far the table is whose manifest lies in ``folder``.

    Raises:
        ExperimentError: the manifest is damaged.
    """
    path = folder / MANIFEST_NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return TableProgress(
            name=str(data["table"]["name"]),
            profile=str(data["profile"]),
            victim=str(data["victim"]["checkpoint"]),
            rows=tuple(
                _row(row, [folder.parent / one["folder"] for one in data["cells"][row["id"]]])
                for row in data["table"]["rows"]
            ),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> ExperimentError:
    """Return what is said of a manifest at ``path`` that cannot be read."""
    return ExperimentError(
        f"{path}: not the manifest of a table ({error}). Run the table again; its finished "
        "cells are kept."
    )


def _row(row: dict[str, Any], cells: list[Path]) -> RowProgress:
    return RowProgress(
        row=str(row["id"]),
        cells=len(cells),
        done=sum(map(is_done, cells)),
        bought=sum(map(bought, cells)),
        budget=int(row["budget"]) * len(cells),
    )
