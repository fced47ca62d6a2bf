"""One conformance suite over every backend: each test gets a ledger of each kind."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis

from tests.unit.victim_service.ledger.asking import LEASE_S, PATIENT_S
from victim_service.errors import Refusal
from victim_service.ledger import Ledger, open_ledger
from victim_service.ledger.base import Query

ResultT = TypeVar("ResultT")
Run = Callable[[Coroutine[Any, Any, ResultT]], ResultT]

TABLES = (
    "counters",
    "rates",
    "queries",
    "entries",
    "usage",
    "keys",
    "plans",
    "accounts",
    "claims",
    "notes",
)


@pytest.fixture
def run() -> Iterator[Run[Any]]:
    """Run coroutines on one event loop: a client of Redis belongs to the loop that it began on."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(params=["sqlite", "redis"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a new ledger."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    return str(request.getfixturevalue("redis_url"))


@pytest.fixture
def open_one(address: str, run: Run[Any]) -> Iterator[Callable[[], Ledger]]:
    """Return what opens the ledger, as each replica of the service does."""
    opened: list[Ledger] = []

    def one() -> Ledger:
        opened.append(open_ledger(address, PATIENT_S))
        return opened[-1]

    yield one
    for store in opened:
        run(store.aclose())


@pytest.fixture
def ledger(open_one: Callable[[], Ledger]) -> Ledger:
    return open_one()


@pytest.fixture
def kept(address: str) -> Callable[[], list[Any]]:
    """Return what tells everything that the ledger keeps, byte for byte."""

    def from_sqlite() -> list[Any]:
        with contextlib.closing(sqlite3.connect(address.removeprefix("sqlite:///"))) as database:
            return [database.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES]  # noqa: S608

    def from_redis() -> list[Any]:
        with redis.Redis.from_url(address) as client:
            return [(name, client.dump(name)) for name in sorted(client.keys())]

    return from_sqlite if address.startswith("sqlite:") else from_redis


@pytest.fixture
def buy(ledger: Ledger, run: Run[Any]) -> Callable[[Query], int]:
    """Return what reserves and commits, and tells what was charged."""

    async def one(query: Query) -> int:
        grant = await ledger.reserve(query, LEASE_S)
        if not grant.replayed:
            await ledger.commit(query, grant)
        return grant.charged

    return lambda query: run(one(query))


@pytest.fixture
def refusal(ledger: Ledger, run: Run[Any]) -> Callable[[Query], Refusal]:
    """Return what reserves in vain, and tells how it was refused."""

    def one(query: Query) -> Refusal:
        with pytest.raises(Refusal) as caught:
            run(ledger.reserve(query, LEASE_S))
        return caught.value

    return one
