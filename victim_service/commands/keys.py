"""``earshot-victim keys``: issue, revoke and list API keys."""

import re
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from shared.contract import Scope
from victim_service import keys as api_keys
from victim_service.commands.common import (
    LedgerOption,
    PlansOption,
    console,
    read_settings,
    with_ledger,
)
from victim_service.errors import StartError
from victim_service.ledger import Ledger
from victim_service.ledger.records import KeyRecord
from victim_service.plans import load_plans
from victim_service.settings import Settings

app = typer.Typer(help="Issue, revoke and list API keys.", no_args_is_help=True)

_SCOPES: dict[str, Scope] = {"query": "query", "audit": "audit", "admin": "admin"}
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_DAY_S = 86_400
_DEFAULT_PLAN = "soft"


@app.command("issue")
def issue_key(
    account: Annotated[str, typer.Option(help="Who the key is for.")],
    plan: Annotated[
        str | None, typer.Option(help=f"Plan of a query key; {_DEFAULT_PLAN} unless given.")
    ] = None,
    scope: Annotated[str, typer.Option(help="query, audit or admin.")] = "query",
    budget: Annotated[
        int | None, typer.Option(min=0, max=2**53, help="Clips; the plan's budget unless given.")
    ] = None,
    expires_in_days: Annotated[
        float | None, typer.Option(min=0, max=36_500, help="Days it is valid.")
    ] = None,
    quiet: Annotated[bool, typer.Option(help="Print nothing but the key.")] = False,
    ledger: LedgerOption = None,
    plans: PlansOption = None,
) -> None:
    """Make a key and print it. It is shown this once: only its hash is kept."""
    if scope not in _SCOPES:
        raise StartError(f"scope {scope!r} is unknown. Use query, audit or admin.")
    if not _ACCOUNT.fullmatch(account):
        raise StartError(f"account {account!r}: use up to 64 letters, digits and hyphens.")
    if scope != "query" and (budget is not None or plan is not None):
        raise StartError(f"a key of scope {scope} has no plan and no budget. Leave them out.")
    settings = read_settings(ledger=ledger, plans=plans)
    name = plan or _DEFAULT_PLAN

    async def issue(store: Ledger) -> tuple[str, KeyRecord]:
        if scope == "query":
            await check_plan(store, settings, name)
        return await api_keys.issue_into(
            store,
            account,
            name,
            _SCOPES[scope],
            budget=budget,
            valid_for_s=None if expires_in_days is None else expires_in_days * _DAY_S,
        )

    key, record = with_ledger(settings, issue, create=True)
    if not quiet:
        typer.echo(f"Key {record.key_id} for {account}. Keep it: it is not shown again.", err=True)
    typer.echo(key)


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The id: the second part of the key.")],
    ledger: LedgerOption = None,
) -> None:
    """Revoke a key; running services stop taking it within a second."""
    if not with_ledger(read_settings(ledger=ledger), lambda store: store.revoke_key(key_id)):
        raise StartError(f"there is no key {key_id!r}. See `earshot-victim keys list`.")
    typer.echo(f"Key {key_id} is revoked.")


@app.command("list")
def list_keys(ledger: LedgerOption = None) -> None:
    """List all keys, without their secrets."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("key", no_wrap=True)  # whole: `revoke` asks for it
    for name in ("account", "plan", "scope", "budget", "expires (UTC)", "state"):
        table.add_column(name)
    for record in with_ledger(read_settings(ledger=ledger), lambda store: store.keys()):
        budget = "" if record.scope != "query" else "plan's"
        table.add_row(
            record.key_id,
            record.account,
            record.plan,
            record.scope,
            budget if record.budget is None else str(record.budget),
            "never" if record.expires_at is None else _date(record.expires_at),
            record.state,
        )
    console.print(table)


async def check_plan(store: Ledger, settings: Settings, name: str) -> None:
    """Pass a plan that is sold, or that the service will adopt from its file when it starts.

    Raises:
        StartError: nobody knows it.
    """
    sold = {plan.name for plan in await store.plans()}
    if name in sold:
        return
    known = sorted(sold | load_plans(settings.plans).keys())
    if name not in known:
        raise StartError(f"plan {name!r} is unknown. Use one of {', '.join(known)}.")


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
