"""``earshot-victim top``: accounts, spend, rate and refusals, live."""

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.live import Live

from victim_service.commands.common import LedgerOption, PlansOption, console, read_settings
from victim_service.errors import Refusal, StartError
from victim_service.ledger import open_ledger
from victim_service.plans import Plan, load_plans
from victim_service.settings import Settings
from victim_service.top.frame import Frame, Service
from victim_service.top.ledger_source import LedgerSource
from victim_service.top.service_source import ServiceSource
from victim_service.top.sources import Sources
from victim_service.top.view import view

_LEDGER_TIMEOUT_S = 3.0


def top(
    ledger: LedgerOption = None,
    url: Annotated[
        list[str] | None,
        typer.Option(help="A service to ask for rates and refusals; once for each replica."),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="File with an admin key; VICTIM_ADMIN_KEY unless given.")
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds a frame.")] = 1.0,
    once: Annotated[bool, typer.Option(help="Print one frame and end.")] = False,
    plans: PlansOption = None,
) -> None:
    """Watch accounts, spend, rate and refusals; Ctrl-C ends it.

    Reads the ledger. With --url it asks running services under an admin key, for refusals too, and
    needs no ledger; with both, spend is the ledger's.
    """
    settings = read_settings(ledger=ledger, plans=plans)
    urls = url or []
    key = _admin_key(settings, key_file) if urls else ""
    replicas = [ServiceSource(address, key) for address in urls]
    with_ledger = ledger is not None or not urls

    async def work() -> None:
        async with _ledger_source(settings, with_ledger) as source:
            sources = Sources(source, replicas)
            if once or not console.is_terminal:
                await _print_one(sources, every if source and not replicas else 0.0)
            else:
                await _show(sources, every)

    with suppress(KeyboardInterrupt), _silent_log():
        asyncio.run(work())


@contextmanager
def _silent_log() -> Iterator[None]:
    """The view says what is wrong; a log line would tear it."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


async def _print_one(sources: Sources, wait_s: float) -> None:
    """Print a frame; a ledger is read twice, ``wait_s`` apart, for its rates."""
    frame = await sources.read()
    if wait_s:
        await asyncio.sleep(wait_s)
        frame = await sources.read()
    console.print(view(frame))


async def _show(sources: Sources, every_s: float) -> None:
    frame = await sources.read()  # what is wrong at the start ends the command
    # One write a frame, on the alternate screen: nothing flickers, and nothing is left behind.
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            begun = time.monotonic()
            live.update(view(frame, console.height), refresh=True)
            await asyncio.sleep(max(0.0, begun + every_s - time.monotonic()))
            frame = await _next(sources, frame)


async def _next(sources: Sources, frame: Frame) -> Frame:
    """Return a new frame, or the old one with what is wrong."""
    try:
        return await sources.read()
    except (StartError, Refusal) as error:
        services = [Service(one.url, "not read") for one in frame.services]
        return dataclasses.replace(frame, services=services, trouble=f"Stale: {error}")


@asynccontextmanager
async def _ledger_source(settings: Settings, wanted: bool) -> AsyncIterator[LedgerSource | None]:
    if not wanted:
        yield None
        return
    store = open_ledger(settings.ledger, _LEDGER_TIMEOUT_S, create=False)
    try:
        yield LedgerSource(store, settings.ledger, _file_plans(settings), settings.global_budget)
    finally:
        await store.aclose()


def _file_plans(settings: Settings) -> dict[str, Plan]:
    try:
        return load_plans(settings.plans)
    except StartError:  # the ledger has those that matter
        return {}


def _admin_key(settings: Settings, key_file: Path | None) -> str:
    if key_file is not None:
        key = key_file.read_text(encoding="ascii", errors="replace").strip()
    elif settings.admin_key is not None:
        key = settings.admin_key.get_secret_value().strip()
    else:
        raise StartError(
            "--url needs an admin key: give --key-file or VICTIM_ADMIN_KEY. Issue one with "
            "`earshot-victim keys issue --account NAME --scope admin`."
        )
    if not key or not key.isascii() or not key.isprintable():
        raise StartError(f"{key_file or 'VICTIM_ADMIN_KEY'}: this is no key. Name another file.")
    return key
