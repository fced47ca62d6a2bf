"""What every command needs: options, settings from them, and a ledger for the length of a call."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console

from victim_service.errors import StartError
from victim_service.ledger import Ledger, open_ledger
from victim_service.settings import Settings

ResultT = TypeVar("ResultT")

console = Console()
_PATIENT_S = 60.0

LedgerOption = Annotated[
    str | None, typer.Option(help="Ledger address; VICTIM_LEDGER unless given.")
]
PlansOption = Annotated[
    Path | None, typer.Option(help="Folder of plan files; VICTIM_PLANS or the shipped ones.")
]


def read_settings(**options: Any) -> Settings:
    """Return the settings; options that are not None override the environment.

    Raises:
        StartError: one is not valid; the message names it.
    """
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        item = error.errors()[0]
        name = str(item["loc"][0]) if item["loc"] else "a setting"
        raise StartError(
            f"VICTIM_{name.upper()} or --{name.replace('_', '-')}: {item['msg']} "
            f"(got {item.get('input')!r}). Change it."
        ) from error


def with_ledger(
    settings: Settings, use: Callable[[Ledger], Awaitable[ResultT]], *, create: bool = False
) -> ResultT:
    """Return what ``use`` makes of the ledger, which is opened and closed around it."""

    async def work() -> ResultT:
        store = open_ledger(settings.ledger, _PATIENT_S, create=create)
        try:
            return await use(store)
        finally:
            await store.aclose()

    return asyncio.run(work())
