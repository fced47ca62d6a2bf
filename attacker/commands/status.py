"""`earshot-attacker status`: how far a run is, from its files alone."""

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from attacker.commands.status_tables import show_tables
from attacker.errors import JournalError
from attacker.journal import Journal
from attacker.run_folder import SURROGATES_NAME, RunFolder
from attacker.tables.progress import tables_below

_UNBOUNDED = 10_000
"""Characters: wider than any table."""
FolderArgument = Annotated[Path, typer.Argument(help="Run folder, or folder of tables.")]


def status(folder: FolderArgument) -> None:
    """Show what a run or the tables below a folder have come to so far; nobody is asked."""
    place = RunFolder(folder)
    if tables := tables_below(folder):
        show_tables(Console(), tables)
        return
    place.demand_run()
    show(Console(), place)


def show(console: Console, folder: RunFolder) -> None:
    """Print the table of the campaigns in ``folder``, and below it what would not fit 80 columns.

    No cell is ever cut: a table that is wider than the console runs over its edge.
    """
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for heading in ("campaign", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("bought", "in doubt", "volume", "coverage"):
        table.add_column(heading, justify="right", no_wrap=True)
    names = campaign_names(folder)
    for name in names:
        table.add_row(*map(escape, (name, *_row(folder, name))))
    unbounded = console.options.update(width=_UNBOUNDED)
    table.width = console.measure(table, options=unbounded).maximum
    console.print(table, crop=False)
    console.print()
    for name in names:
        console.print(_line(folder, name), highlight=False, markup=False)


def campaign_names(folder: RunFolder) -> list[str]:
    """Return the campaigns of the resolved experiment, in its order."""
    import yaml  # the schema would take seconds to import, for it knows the networks

    data = yaml.safe_load(folder.experiment_path.read_text(encoding="utf-8"))
    return [str(campaign["name"]) for campaign in data["campaigns"]]


def _row(folder: RunFolder, name: str) -> list[str]:
    try:
        journal = Journal.read(folder.campaign(name))
    except JournalError:
        return ["not begun", *["0"] * 3, ""]
    try:
        counts, ended = journal.counts(), journal.ended
        budget, k = journal.identity["budget"], journal.identity["n_classes"]
    finally:
        journal.close()
    return [
        ended.replace("-", " ") if ended else "unfinished",
        f"{counts.answered:,}/{budget:,}",
        f"{counts.planned - counts.answered:,}",
        f"{counts.kept:,}",
        f"{counts.labels_seen}/{k}",
    ]


def _line(folder: RunFolder, name: str) -> str:
    events = [event["event"] for event in folder.events(name)]
    trained = (folder.campaign(name) / SURROGATES_NAME).glob("*/card.json")
    marks = sorted(int(card.parent.name) for card in trained)
    trained_at = ", ".join(f"{mark:,}" for mark in marks)
    return f"{name}: {events.count('refusal'):,} refused, {events.count('retry'):,} retried, " + (
        f"surrogates at {trained_at}" if marks else "no surrogate yet"
    )
