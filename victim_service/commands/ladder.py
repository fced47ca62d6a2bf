"""``earshot-victim ladder``: which rung accounts are on, why, and how to put them on another."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from shared.contract import AccountLadder
from victim_service.commands.common import LedgerOption, console, read_settings, with_ledger
from victim_service.errors import StartError
from victim_service.ledger import Ledger
from victim_service.plan_book import COMMAND_SOURCE
from victim_service.rungs import ladder_of, set_rung

app = typer.Typer(help="See and set the rungs of watched accounts.", no_args_is_help=True)

AccountArgument = Annotated[str, typer.Argument(help="Name of the account.")]


@app.command("list")
def list_rungs(ledger: LedgerOption = None) -> None:
    """List every account with its rung, the highest first."""

    async def read(store: Ledger) -> list[AccountLadder]:
        names = sorted({key.account for key in await store.keys() if key.scope == "query"})
        found = [await ladder_of(store, name) for name in names]
        return [one for one in found if one is not None]

    table = Table("account", "rung", "in force", "alarms since", "clips watched", "latest step")
    table.columns[0].overflow = "fold"  # the accounts of one customer often differ at their ends
    ladders = with_ledger(read_settings(ledger=ledger), read)
    for one in sorted(ladders, key=lambda one: (-one.rung, -one.alarms, one.account)):
        step = one.steps[-1] if one.steps else None
        why = "" if step is None else f"{step.reason} ({step.by})"
        numbers = (str(one.alarms), str(one.queries))
        table.add_row(one.account, str(one.rung), _in_force(one), *numbers, Text(why))
    console.print(table)


@app.command("show")
def show_rung(account: AccountArgument, ledger: LedgerOption = None) -> None:
    """Show an account's rung, its steps with their reasons, and its latest readings."""
    found = with_ledger(read_settings(ledger=ledger), lambda store: ladder_of(store, account))
    if found is None:
        raise StartError(f"there is no account {account!r}. See `earshot-victim ladder list`.")
    typer.echo(
        f"{account} is on rung {found.rung} ({_in_force(found) or 'nothing in force'}), with "
        f"{found.alarms} alarms since, after {found.queries} watched clips."
    )
    steps = Table("when", "from", "to", "by", "reason")
    for step in found.steps:
        steps.add_row(_date(step.at), str(step.before), str(step.after), step.by, Text(step.reason))
    readings = Table("when", "detector", "at clip", "score", "threshold", "alarm")
    for one in found.readings:
        score = "not finite" if one.score is None else f"{one.score:.4g}"
        figures = (str(one.query), score, f"{one.threshold:.4g}")
        readings.add_row(_date(one.at), one.detector, *figures, "alarm" if one.alarm else "")
    for table in (steps, readings):
        if table.row_count:
            console.print(table)


@app.command("set")
def set_on_rung(
    account: AccountArgument,
    rung: Annotated[int, typer.Argument(min=0, help="Steps to be in force; 0 is none.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept for ever.")],
    forget: Annotated[
        bool, typer.Option("--forget", help="Let the detectors begin anew, too.")
    ] = False,
    ledger: LedgerOption = None,
) -> None:
    """Put an account on a rung; running services follow at its next query."""
    reason = reason.strip()
    if not 1 <= len(reason) <= 500:
        raise StartError("--reason: say why, in 1 to 500 characters.")
    settings = read_settings(ledger=ledger)
    step = with_ledger(
        settings,
        lambda store: set_rung(store, account, rung, reason, COMMAND_SOURCE, forget=forget),
    )
    typer.echo(f"{account} is on rung {step.after}; it was on rung {step.before}.")


def _in_force(one: AccountLadder) -> str:
    texts = {name: ", ".join(kinds) for name, kinds in one.in_force.items() if kinds}
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{name}: {text}" for name, text in sorted(texts.items()))


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
