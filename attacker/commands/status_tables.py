"""`earshot-attacker status` of a folder of tables: which cells of each row are done."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from attacker.tables.progress import TableProgress, read_progress


def show_tables(console: Console, folders: Sequence[Path]) -> None:
    """Print every table in ``folders``, with a line for each row of it that is not done.

    Raises:
        ExperimentError: a manifest is damaged.
    """
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for heading in ("table", "victim"):
        table.add_column(heading, overflow="fold")
    for heading in ("cells done", "bought"):
        table.add_column(heading, justify="right", no_wrap=True)
    found = [read_progress(folder) for folder in folders]
    for one in found:
        _add(table, one)
    console.print(table)
    if all(one.done == one.cells for one in found):
        return
    console.print()
    console.print(
        "What is not done goes on by the command that began it; why a cell failed is at the end of "
        "job.log in its folder.",
        highlight=False,
        soft_wrap=True,
    )


def _add(table: Table, one: TableProgress) -> None:
    bought, budget = sum(row.bought for row in one.rows), sum(row.budget for row in one.rows)
    name = escape(f"{one.name} ({one.profile})")
    counts = (f"{one.done}/{one.cells}", f"{bought:,}/{budget:,}")
    table.add_row(name, one.victim[:12], *counts)
    for row in one.rows:
        if row.done < row.cells:
            counts = (f"{row.done}/{row.cells}", f"{row.bought:,}/{row.budget:,}")
            table.add_row(escape(f"  {row.row}"), "", *counts)
