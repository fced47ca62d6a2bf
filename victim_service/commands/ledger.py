"""``earshot-victim ledger``: look into the server's truth, check it, and export it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from victim_service.commands.common import LedgerOption, console, read_settings, with_ledger
from victim_service.errors import StartError
from victim_service.ledger import Ledger, export
from victim_service.ledger.records import Mismatch
from victim_service.secret import load_secret

app = typer.Typer(help="Look into the ledger.", no_args_is_help=True)

SecretOption = Annotated[
    Path | None,
    typer.Option(help="File of the ledger's secret; VICTIM_SECRET_FILE or beside the ledger."),
]


@app.command("show")
def show_ledger(ledger: LedgerOption = None) -> None:
    """Show what every key has bought."""
    table = Table("account", "key", "plan", "clips charged", "queries answered", "audit clips")
    for row in with_ledger(read_settings(ledger=ledger), lambda store: store.spend()):
        numbers = (str(row.spent), str(row.queries), str(row.audited))
        table.add_row(row.account, row.key_id, row.plan, *numbers)
    console.print(table)


@app.command("verify")
def verify_ledger(
    exported: Annotated[
        Path | None, typer.Option("--export", help="An export to check against the ledger, too.")
    ] = None,
    ledger: LedgerOption = None,
    secret_file: SecretOption = None,
) -> None:
    """Check that every counter is the sum of its entries; exit 1 if one is not."""
    settings = read_settings(ledger=ledger, secret_file=secret_file)

    async def use(store: Ledger) -> tuple[list[Mismatch], export.Checked | None]:
        wrong = await store.verify()
        if exported is None or wrong:
            return wrong, None
        secret = await load_secret(settings, store, create=False)
        return wrong, await export.check(store, exported, secret)

    wrong, checked = with_ledger(settings, use)
    for item in wrong:
        typer.echo(f"{item.subject}: counter {item.counter}, entries {item.entries}", err=True)
    if wrong:
        raise StartError("the ledger does not add up. Keep a copy of it, and stop selling from it.")
    typer.echo("The ledger adds up: every counter is the sum of its entries.")
    if checked is None:
        return
    typer.echo(f"The export is true: its {checked.lines} lines are signed, and as in the ledger.")
    if checked.missing:
        typer.echo(
            f"{checked.missing} entries of the ledger are not in it: they came after the last "
            "export, or the file was cut. If you know that they were there, keep it as evidence; "
            "else export to it once more."
        )


@app.command("export")
def export_ledger(
    file: Annotated[Path, typer.Argument(help="File to append to; made if it is not there.")],
    ledger: LedgerOption = None,
    secret_file: SecretOption = None,
) -> None:
    """Append to FILE, signed, every entry that is not there yet. The service may go on selling."""
    settings = read_settings(ledger=ledger, secret_file=secret_file)

    async def use(store: Ledger) -> export.Exported:
        return await export.export(store, file, await load_secret(settings, store))

    done = with_ledger(settings, use)
    typer.echo(f"{file}: {done.before} lines were there and are true, {done.added} were added.")
