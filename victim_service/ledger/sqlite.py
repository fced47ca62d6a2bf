"""The embedded ledger: one SQLite file, exact across threads and processes, safe under SIGKILL."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from victim_service.ledger import (
    reconcile,
    sqlite_accounts,
    sqlite_registry,
    sqlite_settle,
    sqlite_steps,
)
from victim_service.ledger import standing as arithmetic
from victim_service.ledger.base import Grant, Policy, Query, Standing
from victim_service.ledger.patience import within
from victim_service.ledger.records import (
    AccountSpend,
    Entry,
    KeyRecord,
    Mismatch,
    Note,
    NoteKind,
    PlanRecord,
    Totals,
    Watched,
)
from victim_service.ledger.sqlite_writer import Writer

ResultT = TypeVar("ResultT")


class SqliteLedger:
    """The ``Ledger`` protocol on one file in WAL mode with ``synchronous = FULL``."""

    def __init__(self, path: Path, timeout_s: float = 0.9) -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._writer = Writer(path, timeout_s)

    async def reserve(self, query: Query, lease_s: float) -> Grant:
        """Charge all policies or none; see :class:`~victim_service.ledger.base.Ledger`."""
        answer = self._writer.submit(
            lambda database: sqlite_steps.reserve(database, query, lease_s),
            # Nobody was told of it, so nobody shall pay for it.
            on_late=lambda grant: self._undo(query, grant),
        )
        try:
            return await within(answer, self._timeout_s)
        except asyncio.CancelledError:
            if not answer.cancelled() and answer.exception() is None:  # it met the grant
                self._undo(query, answer.result())
            raise

    async def commit(self, query: Query, grant: Grant, cost: int | None = None) -> None:
        """Make a reservation final, and give back what it is above ``cost``."""
        final = arithmetic.settled(cost)
        await self._do(lambda database: sqlite_settle.commit(database, query, grant.token, final))

    async def release(self, query: Query, grant: Grant) -> None:
        """Give what was reserved back after a fault of the server."""
        await self._do(lambda database: sqlite_settle.release(database, query, grant.token))

    async def abandon(self, query: Query, grant: Grant) -> None:
        """End the lease of a query whose client left."""
        await self._do(lambda database: sqlite_settle.abandon(database, query, grant.token))

    async def note_audit(self, query: Query) -> None:
        """Enter unmetered use."""
        await self._do(lambda database: sqlite_settle.note_audit(database, query))

    async def would_replay(self, query: Query) -> bool:
        """Whether a reservation would be a replay; refused as that would be."""
        return await self._do(lambda database: sqlite_steps.would_replay(database, query))

    async def standing(self, policies: Sequence[Policy]) -> Standing:
        """Return what is left, without changing anything."""
        return await self._do(lambda database: sqlite_steps.standing(database, policies))

    async def reap(self, ttl_s: float) -> int:
        """Release long-abandoned reservations and count them, a few in each transaction."""
        total = 0
        while reaped := await self._do(lambda database: sqlite_settle.reap(database, ttl_s)):
            total += reaped
        return total

    async def verify(self) -> list[Mismatch]:
        """Compare each counter with the sum of its entries."""
        return await reconcile.verify(self)

    async def totals(self) -> Totals:
        """Return every counter and the latest entry's id."""
        return await self._do(sqlite_registry.totals)

    async def entries(self, after: str = "", limit: int = 1000) -> list[Entry]:
        """Return entries that came after the one whose id is ``after``."""
        return await self._do(lambda database: sqlite_registry.entries(database, after, limit))

    async def spend(self) -> list[AccountSpend]:
        """Return what each key has bought."""
        return await self._do(sqlite_registry.spend)

    async def key(self, key_id: str) -> KeyRecord | None:
        """Return the record of an API key."""
        return await self._do(lambda database: sqlite_registry.key(database, key_id))

    async def keys(self) -> list[KeyRecord]:
        """Return all API keys, oldest first."""
        return await self._do(sqlite_registry.keys)

    async def add_key(self, record: KeyRecord) -> None:
        """Keep a new API key."""
        await self._do(lambda database: sqlite_registry.add_key(database, record))

    async def revoke_key(self, key_id: str) -> bool:
        """Revoke an API key; False when there is none of that id."""
        return await self._do(lambda database: sqlite_registry.revoke_key(database, key_id))

    async def plan(self, name: str, version: int | None = None) -> PlanRecord | None:
        """Return a version of a plan, the latest one unless given."""
        return await self._do(lambda database: sqlite_registry.plan(database, name, version))

    async def plans(self) -> list[PlanRecord]:
        """Return the latest version of every plan, by name."""
        return await self._do(sqlite_registry.plans)

    async def plan_history(self, name: str) -> list[PlanRecord]:
        """Return all versions of a plan, oldest first."""
        return await self._do(lambda database: sqlite_registry.plan_history(database, name))

    async def add_plan(self, record: PlanRecord) -> bool:
        """Keep a new version, if it follows the latest one by 1."""
        return await self._do(lambda database: sqlite_registry.add_plan(database, record))

    async def account_state(self, account: str) -> str:
        """Return the defence state of an account."""
        return await self._do(lambda database: sqlite_accounts.state(database, account))

    async def account_states(self) -> dict[str, str]:
        """Return the defence state of every account."""
        return await self._do(sqlite_accounts.states)

    async def set_account_state(self, account: str, state: str) -> None:
        """Keep the defence state of an account."""
        await self._do(lambda database: sqlite_accounts.set_state(database, account, state))

    async def watched(self, account: str) -> Watched:
        """Return what is remembered of an account."""
        return await self._do(lambda database: sqlite_accounts.watched(database, account))

    async def keep_watched(
        self, account: str, version: int, memory: bytes, state: str, notes: Sequence[Note] = ()
    ) -> bool:
        """Replace memory and state and append ``notes``, if the account is at ``version``."""
        kept = (account, version, memory, state, notes)
        return await self._do(lambda database: sqlite_accounts.keep_watched(database, *kept))

    async def notes(
        self,
        account: str,
        kind: NoteKind | None = None,
        after: str = "",
        limit: int = 1000,
        *,
        latest: bool = False,
    ) -> list[Note]:
        """Return notes of an account, in order."""
        asked = (account, kind, after, limit, latest)
        return await self._do(lambda database: sqlite_accounts.notes(database, *asked))

    async def claim(self, name: str, value: str) -> str:
        """Keep ``value`` under ``name`` unless there is one; return what is kept."""
        return await self._do(lambda database: sqlite_registry.claim(database, name, value))

    async def now(self) -> float:
        """Return the ledger's clock, in seconds since 1970."""
        return await self._do(sqlite_registry.now)

    async def ping(self) -> None:
        """Return when the file can be written."""
        await self._do(lambda database: database.execute("SELECT 1").fetchone())

    async def aclose(self) -> None:
        """Finish what was handed in, and close the file."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """As :meth:`aclose`, from outside of an event loop."""
        self._writer.close()

    async def _do(self, step: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        return await within(self._writer.submit(step), self._timeout_s)

    def _undo(self, query: Query, grant: Grant) -> None:
        undone = self._writer.submit(
            lambda database: sqlite_settle.release(database, query, grant.token)
        )
        # Where it fails, the reaper gives the clips back.
        undone.add_done_callback(lambda done: done.cancelled() or done.exception())
