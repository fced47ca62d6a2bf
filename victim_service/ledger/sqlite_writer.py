"""One thread that owns a SQLite connection and commits waiting work in groups.

Work is handed in from any thread or event loop and comes back as a future. Whatever waits while a
transaction is being synced to disk shares the next one, so that throughput rises with load and the
event loop never blocks on the disk.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog

from victim_service.errors import Refusal, StartError
from victim_service.ledger import sqlite_schema
from victim_service.ledger.patience import unreachable
from victim_service.turns import go_first

_log = structlog.get_logger("victim")

ResultT = TypeVar("ResultT")

_GROUP = 256
_LOCK_POLL_S = 0.0005


@dataclass(eq=False, slots=True)
class _Work(Generic[ResultT]):
    """A function that waits for its turn, and whoever waits for its outcome."""

    function: Callable[[sqlite3.Connection], ResultT]
    future: "asyncio.Future[ResultT]"
    on_late: Callable[[ResultT], None] | None

    def tell(self, result: ResultT, refusal: Refusal | None) -> None:
        """Hand the outcome over; on the event loop."""
        if self.future.done():  # nobody waits any more
            if refusal is None and self.on_late is not None:
                self.on_late(result)
        elif refusal is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(refusal)


_Outcome = tuple[_Work[Any], Any, Refusal | None]


class Writer:
    """Runs functions inside ``BEGIN IMMEDIATE`` transactions on a file in WAL mode.

    A function that refuses must do so before it writes anything: a Refusal leaves the others of
    its group untouched. After any error of SQLite the connection is opened anew, so that a ledger
    that comes back is used again without a restart.
    """

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._waiting: queue.SimpleQueue[_Work[Any] | None] = queue.SimpleQueue()
        self._database: sqlite3.Connection | None = None
        self._inode = self._create()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"ledger {path.name}", daemon=True)
        self._thread.start()

    def submit(
        self,
        function: Callable[[sqlite3.Connection], ResultT],
        on_late: Callable[[ResultT], None] | None = None,
    ) -> "asyncio.Future[ResultT]":
        """Queue ``function``; its future fails with ledger-unreachable when SQLite fails.

        One that is done before its turn comes, because nobody waits any more, never runs. Where it
        ran all the same, ``on_late`` gets the result, on the event loop.
        """
        work = _Work(function, asyncio.get_running_loop().create_future(), on_late)
        if self._closed:
            work.tell(None, unreachable("it is closed"))
        else:
            self._waiting.put(work)
        return work.future

    def close(self) -> None:
        """Finish the work that was handed in, then let go of the file."""
        if not self._closed:
            self._closed = True
            self._waiting.put(None)
            self._thread.join()

    def _create(self) -> int:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self._path, timeout=30.0, isolation_level=None)
            try:
                database.execute("PRAGMA journal_mode = WAL")
                sqlite_schema.create(database)
            finally:
                database.close()
            return self._path.stat().st_ino
        except (OSError, sqlite3.Error, ValueError) as error:
            raise StartError(
                f"ledger {self._path}: {error}. Name a file that can be written."
            ) from (error)

    def _open(self) -> sqlite3.Connection:
        # The file is never made here: an empty new ledger would grant every budget again.
        if self._path.stat().st_ino != self._inode:
            self._drop()
            raise sqlite3.OperationalError("the file was replaced since the start")
        if self._database is None:
            address = f"{self._path.resolve().as_uri()}?mode=rw"
            database = sqlite3.connect(address, uri=True, timeout=0.0, isolation_level=None)
            self._patiently(database, "PRAGMA synchronous = FULL")  # it reads the file, too
            self._database = database
        return self._database

    def _patiently(self, database: sqlite3.Connection, statement: str) -> None:
        """Run what needs a lock that all users of the file share."""
        # 0.7 of the time for the lock leaves the rest for the work itself.
        deadline = time.monotonic() + 0.7 * self._timeout_s
        while True:
            try:
                database.execute(statement)
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
            # SQLite's own way sleeps for up to 0.1 s, in which busier processes go first for ever.
            time.sleep(_LOCK_POLL_S)

    def _drop(self) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None

    def _run(self) -> None:
        go_first()  # all that it does is waited for
        while True:
            group, last = self._next_group()
            group = [work for work in group if not work.future.done()]
            if group:
                self._transact(group)
            if last:
                self._drop()
                return

    def _next_group(self) -> tuple[list[_Work[Any]], bool]:
        group: list[_Work[Any]] = []
        work = self._waiting.get()
        while work is not None:
            group.append(work)
            if len(group) == _GROUP or self._waiting.empty():
                return group, False
            work = self._waiting.get()
        return group, True

    def _transact(self, group: list[_Work[Any]]) -> None:
        outcomes: list[_Outcome] = []
        try:
            database = self._open()
            self._patiently(database, "BEGIN IMMEDIATE")
            for work in group:
                try:
                    outcomes.append((work, work.function(database), None))
                except Refusal as refusal:
                    outcomes.append((work, None, refusal))
            database.execute("COMMIT")
        except Exception as error:
            # Closing rolls back: nothing of the group is kept.
            self._drop()
            if len(group) > 1 and not isinstance(error, (OSError, sqlite3.OperationalError)):
                for work in group:  # one step is at fault: it must not take the others with it
                    self._transact([work])
                return
            _log.warning("ledger failed", error=type(error).__name__, reason=str(error))
            outcomes = [(work, None, unreachable(str(error))) for work in group]
        _tell_all(outcomes)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether somebody else has the lock, be it to write or to mend the log of a killed writer."""
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _tell_all(outcomes: list[_Outcome]) -> None:
    """Hand outcomes over, in one wake-up of each event loop for all of a transaction."""

    def tell_each(mine: list[_Outcome]) -> None:
        for work, result, refusal in mine:
            work.tell(result, refusal)

    for loop, mine in groupby(outcomes, lambda outcome: outcome[0].future.get_loop()):
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell_each, list(mine))
