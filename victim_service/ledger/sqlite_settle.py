"""How a reservation in the SQLite ledger ends: committed, released, abandoned or reaped.

Each step is run by the writer inside one transaction; one that refuses does so before its first
write.
"""

import sqlite3
from typing import NamedTuple

from victim_service.ledger import standing as arithmetic
from victim_service.ledger.base import Query
from victim_service.ledger.sqlite_schema import COMMITTED, NOW, RELEASED, RUNNING

_REAP_AT_ONCE = 256

_PAID = f"""
SELECT account, idempotency, subjects, clips, key_id, plan, plan_version, coalesce(cost, clips)
  FROM queries WHERE state = {RUNNING}
"""  # noqa: S608 - constants
_NAMED = f"{_PAID} AND account = ? AND idempotency = ?"
_HELD = f"{_NAMED} AND token = ?"
_LAPSED = f"{_PAID} AND lease_until <= {NOW} - ? LIMIT {_REAP_AT_ONCE}"
_IS_COMMITTED = f"""
SELECT 1 FROM queries WHERE account = ? AND idempotency = ? AND state = {COMMITTED} AND token = ?
"""  # noqa: S608 - constants
_COMMIT = f"""
UPDATE queries SET state = {COMMITTED}, cost = ? WHERE account = ? AND idempotency = ?
"""  # noqa: S608 - constants
_ABANDON = f"""
UPDATE queries SET lease_until = {NOW}
  WHERE account = ? AND idempotency = ? AND state = {RUNNING} AND token = ?
"""  # noqa: S608 - constants
_ENTER = f"""
INSERT INTO entries (at, kind, account, key_id, plan, plan_version, idempotency, clips, delta)
  VALUES ({NOW}, ?, ?, ?, ?, ?, ?, ?, ?)
"""  # noqa: S608 - a constant


class Paid(NamedTuple):
    """A running query, and who pays for it."""

    account: str
    idempotency: str
    subjects: str
    clips: int
    key_id: str
    plan: str
    plan_version: int
    cost: int
    """Units that it holds of each budget."""


def paid(database: sqlite3.Connection, query: Query) -> Paid:
    """Return who pays for a query that is running."""
    named = (query.account, query.idempotency)
    return Paid(*database.execute(_NAMED, named).fetchone())


def commit(database: sqlite3.Connection, query: Query, token: str, cost: int | None) -> None:
    """Make a reservation final, unless somebody else has bought the query meanwhile."""
    held = (query.account, query.idempotency, token)
    row = database.execute(_HELD, held).fetchone()
    if row is None:
        if database.execute(_IS_COMMITTED, held).fetchone() is None:
            raise arithmetic.too_late()
        return
    payer = Paid(*row)
    kept = payer.cost if cost is None else min(cost, payer.cost)
    database.execute(_COMMIT, (kept, query.account, query.idempotency))
    _pay_back(database, payer, "commit", payer.cost - kept)


def release(database: sqlite3.Connection, query: Query, token: str) -> None:
    """Give the units back; nothing happens when somebody else holds the lease by now."""
    row = database.execute(_HELD, (query.account, query.idempotency, token)).fetchone()
    if row is not None:
        give_back(database, Paid(*row), "release")


def abandon(database: sqlite3.Connection, query: Query, token: str) -> None:
    """End the lease now, so that a retry may buy the query at once."""
    database.execute(_ABANDON, (query.account, query.idempotency, token))


def reap(database: sqlite3.Connection, ttl_s: float) -> int:
    """Release some reservations whose lease ended more than ``ttl_s`` ago; 0 when none is left."""
    rows = database.execute(_LAPSED, (ttl_s,)).fetchall()
    for row in rows:
        give_back(database, Paid(*row), "reap")
    return len(rows)


def note_audit(database: sqlite3.Connection, query: Query) -> None:
    """Enter unmetered use."""
    enter(database, "audit", query, query.plan_version, delta=0)


def give_back(database: sqlite3.Connection, payer: Paid, kind: str) -> None:
    """Release a running query: all that it holds goes back."""
    database.execute(
        "UPDATE queries SET state = ? WHERE account = ? AND idempotency = ?",
        (RELEASED, payer.account, payer.idempotency),
    )
    _pay_back(database, payer, kind, payer.cost)


def enter(
    database: sqlite3.Connection, kind: str, query: Query, plan_version: int, *, delta: int
) -> None:
    """Append one line to the entries."""
    payer = (query.account, query.key_id, query.plan, plan_version)
    database.execute(_ENTER, (kind, *payer, query.idempotency, query.clips, delta))


def _pay_back(database: sqlite3.Connection, payer: Paid, kind: str, units: int) -> None:
    """Enter what happened to a query under who paid for it, and give ``units`` back."""
    if units:
        database.executemany(
            "UPDATE counters SET spent = spent - ? WHERE subject = ?",
            [(units, subject) for subject in payer.subjects.split("\n")],
        )
    bought = Query(payer.account, payer.key_id, payer.plan, payer.idempotency, b"", payer.clips, ())
    enter(database, kind, bought, payer.plan_version, delta=-units)
