"""API keys straight into a ledger, without starting a command for each."""

import asyncio
from pathlib import Path

from shared.contract import Scope
from victim_service.keys import issue
from victim_service.ledger import open_ledger


def add_key(
    ledger: Path | str,
    account: str,
    *,
    plan: str = "soft",
    scope: Scope = "query",
    budget: int | None = None,
) -> str:
    """Issue a key of ``account`` into a ledger, a SQLite file or an address, and return it."""
    key, record = issue(account, plan if scope == "query" else scope, scope, budget=budget)
    url = ledger if isinstance(ledger, str) else f"sqlite:///{ledger}"

    async def add() -> None:
        store = open_ledger(url, timeout_s=20)
        try:
            await store.add_key(record)
        finally:
            await store.aclose()

    asyncio.run(add())
    return key
