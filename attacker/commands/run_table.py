"""`earshot-attacker run TABLE`: every cell of a table, side by side."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from attacker.commands.cells import run_cells
from attacker.commands.options import DEFAULT_PROFILE

if TYPE_CHECKING:
    from attacker.tables.run import TableRunner

DEFAULT_OUT = Path("runs/paper")


def table_runner(
    path: Path,
    profile: str | None,
    out: Path | None,
    url: str,
    keys: tuple[str, ...],
    cache: Path,
    device: str,
    patience_s: float,
    jobs: int | None = None,
) -> "TableRunner":
    """Return the runner of the table at ``path``; what is None is as usual.

    Raises:
        ConfigError: the file is no valid table, or has no such profile.
    """
    from attacker.tables.file import load_table
    from attacker.tables.run import TableRunner

    profile = profile or DEFAULT_PROFILE
    table = load_table(path, profile)
    place = out or DEFAULT_OUT
    return TableRunner(table, profile, place, url, keys, cache, device, patience_s, jobs or 1)


def run_table(runner: "TableRunner") -> None:
    """Run the cells of a table that are not done yet, and tell how that went.

    Raises:
        typer.Exit: with 1 where a cell failed, and 130 where it was interrupted.
    """
    hint = comparing(runner.out)
    run_cells(runner, "jobs", lambda folder: f"The table is in {folder}; {hint}")


def comparing(out: Path) -> str:
    """Return how the tables in ``out`` are compared with the paper's."""
    where = "" if out == DEFAULT_OUT else " " + shlex.quote(str(out))
    return f"compare it with: earshot-attacker report paper{where} --bundle VICTIM/bundle"
