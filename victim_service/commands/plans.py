"""``earshot-victim plans``: what is sold, what was sold, and how to sell something else."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from shared.config import dump_yaml, load_yaml
from victim_service.commands.common import LedgerOption, console, read_settings, with_ledger
from victim_service.errors import StartError
from victim_service.ledger.records import PlanRecord
from victim_service.plan_book import COMMAND_SOURCE, PlanBook
from victim_service.plans import Plan, read_plan

app = typer.Typer(help="Show and change the plans that are sold.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of the plan.")]


@app.command("list")
def list_plans(ledger: LedgerOption = None) -> None:
    """List the plans as they are sold now."""
    sold = with_ledger(read_settings(ledger=ledger), lambda store: PlanBook(store).all())
    if not sold:
        raise StartError("no plan is sold here yet. Serve once, or use `earshot-victim plans put`.")
    table = Table("plan", "version", "labels", "defences", "budget", "clips/s", "price", "headers")
    for item in sold:
        plan = item.plan
        table.add_row(
            plan.name,
            str(item.version),
            plan.label_mode,
            ", ".join(spec.kind for spec in plan.defences),
            "" if plan.budget is None else str(plan.budget),
            "" if plan.rate_per_s is None else f"{plan.rate_per_s:g}",
            f"{plan.price_per_clip:g}",
            plan.headers,
        )
    console.print(table)


@app.command("show")
def show_plan(
    name: NameArgument,
    version: Annotated[
        int | None, typer.Option(min=1, help="Version; the latest unless given.")
    ] = None,
    ledger: LedgerOption = None,
) -> None:
    """Print a plan as YAML, as `plans put` takes it."""
    settings = read_settings(ledger=ledger)
    record = with_ledger(settings, lambda store: store.plan(name, version))
    if record is None:
        what = f"plan {name!r}" if version is None else f"version {version} of plan {name!r}"
        raise StartError(f"there is no {what}. See `earshot-victim plans list` and `history`.")
    typer.echo(dump_yaml(_read(record)), nl=False)


@app.command("history")
def show_history(name: NameArgument, ledger: LedgerOption = None) -> None:
    """Show every version of a plan: when it was made, by whom, and what it changed."""
    records = with_ledger(read_settings(ledger=ledger), lambda store: store.plan_history(name))
    if not records:
        raise StartError(f"there is no plan {name!r}. See `earshot-victim plans list`.")
    table = Table("version", "since", "made by", "change")
    changes = ["", *(_change(_read(old), _read(new)) for old, new in pairwise(records))]
    for record, change in zip(records, changes, strict=True):
        since = datetime.fromtimestamp(record.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        table.add_row(str(record.version), since, record.source, change)
    console.print(table)


@app.command("put")
def put_plan(
    file: Annotated[Path, typer.Argument(help="Plan YAML; see victim_service/plans.")],
    ledger: LedgerOption = None,
) -> None:
    """Sell the plan of a file from now on; running services follow within a second."""
    plan = load_yaml(file, Plan)
    settings = read_settings(ledger=ledger)
    version = with_ledger(
        settings, lambda store: PlanBook(store).put(plan, COMMAND_SOURCE), create=True
    )
    typer.echo(f"Plan {plan.name} is sold as version {version}.")


def _read(record: PlanRecord) -> Plan:
    return read_plan(record.document, f"plan {record.name}, version {record.version}")


def _change(old: Plan, new: Plan) -> str:
    """Return the fields that differ, as ``budget: 10 -> 20``."""
    before, after = (plan.model_dump(mode="json") for plan in (old, new))
    lines = [f"{key}: {before[key]} -> {after[key]}" for key in after if before[key] != after[key]]
    return "\n".join(lines)
