"""`earshot-attacker plan TABLE`: what the cells of a table will cost, before anything is spent."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from attacker.commands.plan import account_line
from attacker.live import View
from attacker.waiting import show_duration

if TYPE_CHECKING:
    from attacker.tables.forecast import TableForecast
    from attacker.tables.run import TableRunner


def plan_table(runner: "TableRunner") -> None:
    """Print cells, queries, price and time of a table; nothing is spent."""
    from shared.runtime import tune_process

    tune_process()
    console = Console()
    view = View(console)
    with view.shown():
        found = runner.forecast(view.corpus)
    console.print(_table(found))
    for line in _lines(found, runner):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _table(found: "TableForecast") -> Table:
    table = Table("row", box=box.SIMPLE)
    for heading in ("cells", "done", "queries", "training"):
        table.add_column(heading, justify="right")
    for row in found.rows:
        training = show_duration(row.training_s)
        table.add_row(row.row, str(row.cells), str(row.done), f"{row.queries:,}", training)
    for name, seconds in found.ingredients.items():
        table.add_row(name, "", "", "", show_duration(seconds))
    return table


def _lines(found: "TableForecast", runner: "TableRunner") -> list[str]:
    account = found.account
    cells = sum(row.cells - row.done for row in found.rows)
    lines = [
        f"In all {cells} cells and {found.queries:,} queries at {account.price_per_clip:g} each: "
        f"{found.price:,.2f}; the plan's rate alone takes {show_duration(found.rate_s)}.",
        account_line(account, found.card),
    ]
    if found.missing:
        lines.append(
            f"The account is {found.missing:,} clips short: cells that it cannot pay will fail, "
            "and go on under a key that can."
        )
    if found.shared:
        lines.append(f"{found.shared} further cells equal one above, and cost nothing.")
    lines += [
        f"Training: at most {show_duration(found.training_s)}, measured on this machine with all "
        "its processors; buying and starting the cells come on top.",
        f"Written into {runner.out}: every cell, generator and source model, and the table.",
        "Nothing was spent.",
    ]
    return lines
