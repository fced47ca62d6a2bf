"""`earshot-attacker run TABLE`: every cell of a table, side by side."""

import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from attacker.cells.view import CellView
from attacker.commands.options import DEFAULT_PROFILE
from attacker.live import View
from attacker.run_folder import redact

if TYPE_CHECKING:
    from attacker.cells.jobs import Status
    from attacker.tables.run import TableRunner

DEFAULT_OUT = Path("runs/paper")


def table_runner(
    path: Path,
    profile: str | None,
    out: Path | None,
    url: str,
    key: str,
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
    return TableRunner(table, profile, place, url, key, cache, device, patience_s, jobs or 1)


def run_table(runner: "TableRunner") -> None:
    """Run the cells of a table that are not done yet, and tell how that went.

    Raises:
        typer.Exit: with 1 where a cell failed, and 130 where it was interrupted.
    """
    console = Console()
    corpora, view = View(console), CellView(console)
    command = shlex.join(["earshot-attacker", *redact(sys.argv[1:])])
    before = signal.signal(signal.SIGTERM, leave)
    try:
        with view.shown():
            folder, statuses = runner.run(view, command, corpora.corpus, view.note)
    except KeyboardInterrupt:
        console.print(
            "Stopped; all that was bought is kept, and finished cells stay finished. The same "
            "command goes on.",
            soft_wrap=True,
        )
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    _tell(console, statuses, folder)


def leave(number: int, frame: object) -> None:
    """Handle a signal that ends the program: jobs are ended in order first."""
    del frame
    sys.exit(128 + number)


def _tell(console: Console, statuses: Sequence["Status"], folder: Path) -> None:
    from attacker.cells.jobs import State

    failed = [status for status in statuses if status.state is not State.DONE]
    lines = [f"{len(statuses) - len(failed)} of {len(statuses)} jobs are done."]
    lines += [f"{status.job.name}: {status.reason}" for status in failed]
    if failed:
        lines.append("Mend what is said above; the same command runs only what is not done.")
    lines.append(f"The table is in {folder}; compare it with: earshot-attacker report paper")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    if failed:
        raise typer.Exit(1)
