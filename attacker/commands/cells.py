"""Runs the cells of a table or study from the command line, and tells how that went."""

import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer
from rich.console import Console

from attacker.live import View
from attacker.run_folder import redact
from shared.corpora import Progress

if TYPE_CHECKING:
    from attacker.cells.jobs import Status, Watcher


class Runner(Protocol):
    """Runs every cell that is not done yet."""

    def run(
        self,
        watcher: "Watcher",
        command: str,
        on_corpus: Progress | None = None,
        on_note: Callable[[str], None] = ...,
    ) -> "tuple[Path, list[Status]]":
        """Return the folder of what was run, and what became of each cell."""


def run_cells(runner: Runner, what: str, ending: Callable[[Path], str]) -> None:
    """Run the cells of ``runner`` that are not done yet, and tell how that went.

    ``what`` names its jobs; ``ending`` makes the last sentence of the folder of what was run.

    Raises:
        typer.Exit: with 1 where a cell failed, and 130 where it was interrupted.
    """
    from attacker.cells.jobs import State  # torch takes seconds to import
    from attacker.cells.view import CellView

    console = Console()
    corpora, view = View(console), CellView(console)
    command = shlex.join(["earshot-attacker", *redact(sys.argv[1:])])
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        with view.shown():
            folder, statuses = runner.run(view, command, corpora.corpus, view.note)
    except KeyboardInterrupt:
        view.note(
            "Stopped; all that was bought is kept, and finished cells stay finished. The same "
            "command goes on."
        )
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    failed = [status for status in statuses if status.state is not State.DONE]
    view.note(f"{len(statuses) - len(failed)} of {len(statuses)} {what} are done.")
    for status in failed:
        view.note(f"{status.job.name}: {status.reason}")
    if failed:
        view.note("Mend what is said above; the same command runs only what is not done.")
    view.note(ending(folder))
    if failed:
        raise typer.Exit(1)


def _leave(number: int, frame: object) -> None:
    """Handle a signal that ends the program: jobs are ended in order first."""
    del frame
    sys.exit(128 + number)
