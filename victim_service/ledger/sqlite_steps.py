"""The steps of a query in the SQLite ledger, each run by the writer inside one transaction.

A step that refuses does so before its first write.
"""

import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from victim_service.ledger import standing as arithmetic
from victim_service.ledger.base import Grant, Policy, Query, Standing
from victim_service.ledger.patience import new_token
from victim_service.ledger.sqlite_schema import COMMITTED, NOW, RELEASED, RUNNING
from victim_service.ledger.standing import Reading

_REAP_AT_ONCE = 256

# Seen from inside the transaction: writers take turns, and so do their clocks.
_FIND = f"""
SELECT {NOW}, coalesce(a.defence_state, ''), q.payload, q.clips, q.state, q.lease_until, q.plan,
  q.plan_version, q.model, q.defence_state
FROM (SELECT 1) LEFT JOIN queries q ON q.account = ? AND q.idempotency = ?
  LEFT JOIN accounts a ON a.account = ?
"""  # noqa: S608 - a constant
_INSERT = """
INSERT INTO queries (account, idempotency, payload, clips, state, token, lease_until, key_id, plan,
  subjects, plan_version, model, defence_state, cost)
  VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_PAY_AGAIN = """
UPDATE queries SET state = 0, token = ?, lease_until = ?, key_id = ?, plan = ?, subjects = ?,
  plan_version = ?, model = ?, defence_state = ?, cost = ? WHERE account = ? AND idempotency = ?
"""
_TAKE_OVER = """
UPDATE queries SET token = ?, lease_until = ?, model = ? WHERE account = ? AND idempotency = ?
"""
_COMMIT = f"""
UPDATE queries SET state = {COMMITTED}, cost = ? WHERE account = ? AND idempotency = ?
"""  # noqa: S608 - constants
_IS_COMMITTED = f"""
SELECT 1 FROM queries WHERE account = ? AND idempotency = ? AND state = {COMMITTED}
  AND model = ? AND plan_version = ? AND defence_state = ?
"""  # noqa: S608 - constants
_PAID = """
SELECT account, idempotency, subjects, clips, key_id, plan, plan_version, coalesce(cost, clips)
  FROM queries """
_RUNNING = f"""{_PAID} WHERE account = ? AND idempotency = ? AND state = {RUNNING}
  AND model = ? AND plan_version = ? AND defence_state = ?
"""
_HELD = _PAID + "WHERE account = ? AND idempotency = ? AND state = 0 AND token = ?"
_ABANDONED = f"{_PAID} WHERE state = 0 AND lease_until <= {NOW} - ? LIMIT {_REAP_AT_ONCE}"
_ABANDON = f"""
UPDATE queries SET lease_until = {NOW}
  WHERE account = ? AND idempotency = ? AND state = 0 AND token = ?
"""  # noqa: S608 - a constant
_ENTER = f"""
INSERT INTO entries (at, kind, account, key_id, plan, plan_version, idempotency, clips, delta)
  VALUES ({NOW}, ?, ?, ?, ?, ?, ?, ?, ?)
"""  # noqa: S608 - a constant
_ARRIVE = """
INSERT INTO rates VALUES (?, ?) ON CONFLICT (subject) DO UPDATE SET arrival_s = excluded.arrival_s
"""


class _Record(NamedTuple):
    """A query as it was found; all None when there is none."""

    payload: bytes | None
    clips: int
    state: int
    lease_until: float
    plan: str
    plan_version: int
    model: str
    defence_state: str


class _Paid(NamedTuple):
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


def reserve(database: sqlite3.Connection, query: Query, lease_s: float) -> Grant:
    """Charge all policies of ``query`` or none, and write its idempotency record."""
    key = (query.account, query.idempotency)
    now, account_state, *found = database.execute(_FIND, (*key, query.account)).fetchone()
    record = _Record(*found)
    new = record.payload is None
    state = RELEASED if new else record.state
    if not new:
        _check_record(record, query, now)
    cost = query.units if state == RELEASED else 0
    version = query.plan_version if state == RELEASED else record.plan_version
    defence_state = account_state if state == RELEASED else record.defence_state
    reading = _read(database, query.policies, now)
    arrivals = arithmetic.allow(query.policies, reading, cost=cost, clips=query.clips)

    token = new_token()
    lease_until = now + lease_s
    subjects = arithmetic.budget_subjects(query.policies)
    if state == RELEASED:
        lease = (token, lease_until, query.key_id, query.plan, "\n".join(subjects))
        terms = (version, query.model, defence_state, cost)
        if new:
            database.execute(_INSERT, (*key, query.payload, query.clips, *lease, *terms))
        else:
            database.execute(_PAY_AGAIN, (*lease, *terms, *key))
        if subjects:
            database.execute(
                _charge(len(subjects)), [part for name in subjects for part in (name, cost)]
            )
    elif state == RUNNING:
        database.execute(_TAKE_OVER, (token, lease_until, query.model, *key))
    for arrival in arrivals.items():
        database.execute(_ARRIVE, arrival)
    kind = {RELEASED: "reserve", RUNNING: "take-over", COMMITTED: "replay"}[state]
    _enter(database, kind, query, version, delta=cost)
    spent = {subject: before + cost for subject, before in reading.spent.items()}
    left = arithmetic.standing(query.policies, Reading(spent, arrivals, now))
    return Grant(token, cost, state == COMMITTED, left, version, defence_state)


def commit(
    database: sqlite3.Connection, query: Query, grant: Grant, cost: int | None = None
) -> None:
    """Make a reservation final, unless the record is by now that of another answer."""
    answer = (query.model, grant.plan_version, grant.state)
    named = (query.account, query.idempotency, *answer)
    row = database.execute(_RUNNING, named).fetchone()
    if row is None:
        if database.execute(_IS_COMMITTED, named).fetchone() is None:
            raise arithmetic.too_late()
        return
    paid = _Paid(*row)
    kept = paid.cost if cost is None else min(cost, paid.cost)
    database.execute(_COMMIT, (kept, query.account, query.idempotency))
    _pay_back(database, paid, "commit", paid.cost - kept)


def release(database: sqlite3.Connection, query: Query, token: str) -> None:
    """Give the clips back; nothing happens when somebody else holds the lease by now."""
    row = database.execute(_HELD, (query.account, query.idempotency, token)).fetchone()
    if row is not None:
        _give_back(database, _Paid(*row), "release")


def abandon(database: sqlite3.Connection, query: Query, token: str) -> None:
    """End the lease now, so that a retry takes over at once."""
    database.execute(_ABANDON, (query.account, query.idempotency, token))


def undo(database: sqlite3.Connection, query: Query, grant: Grant) -> None:
    """Take back a grant that nobody was told of."""
    if grant.charged:
        release(database, query, grant.token)
    else:  # the first holder may still answer
        abandon(database, query, grant.token)


def reap(database: sqlite3.Connection, ttl_s: float) -> int:
    """Release some reservations whose lease ended more than ``ttl_s`` ago; 0 when none is left."""
    rows = database.execute(_ABANDONED, (ttl_s,)).fetchall()
    for row in rows:
        _give_back(database, _Paid(*row), "reap")
    return len(rows)


def note_audit(database: sqlite3.Connection, query: Query) -> None:
    """Enter unmetered use."""
    _enter(database, "audit", query, query.plan_version, delta=0)


def is_retry(database: sqlite3.Connection, query: Query) -> bool:
    """Whether the query was reserved before, with the same bytes."""
    row = database.execute(
        "SELECT payload FROM queries WHERE account = ? AND idempotency = ?",
        (query.account, query.idempotency),
    ).fetchone()
    return row is not None and row[0] == query.payload


def standing(database: sqlite3.Connection, policies: Sequence[Policy]) -> Standing:
    """Return what is left under ``policies``."""
    now = database.execute(f"SELECT {NOW}").fetchone()[0]
    return arithmetic.standing(policies, _read(database, policies, now))


def _check_record(record: _Record, query: Query, now: float) -> None:
    if record.payload != query.payload or record.clips != query.clips:
        raise arithmetic.other_bytes()
    if record.state == RELEASED:
        return
    if record.plan != query.plan:
        raise arithmetic.other_plan()
    # A ledger of version 1 did not keep the model.
    if record.state == COMMITTED and record.model not in ("", query.model):
        raise arithmetic.other_model()
    if record.state == RUNNING and record.lease_until > now:
        raise arithmetic.still_running(record.lease_until - now)


def _read(database: sqlite3.Connection, policies: Sequence[Policy], now: float) -> Reading:
    counted = arithmetic.budget_subjects(policies)
    paced = [rate.subject for rate in arithmetic.rates(policies)]
    spent = dict.fromkeys(counted, 0)
    if counted:
        spent.update(database.execute(_select("counters", len(counted)), counted))
    arrivals = dict.fromkeys(paced, 0.0)
    if paced:
        arrivals.update(database.execute(_select("rates", len(paced)), paced))
    return Reading(spent, arrivals, now)


@cache
def _select(table: str, subjects: int) -> str:
    places = ", ".join("?" * subjects)
    return f"SELECT * FROM {table} WHERE subject IN ({places})"  # noqa: S608 - constants


@cache
def _charge(subjects: int) -> str:
    rows = ", ".join(["(?, ?)"] * subjects)
    insert = f"INSERT INTO counters VALUES {rows}"  # noqa: S608 - only question marks
    return f"{insert} ON CONFLICT (subject) DO UPDATE SET spent = spent + excluded.spent"


def _give_back(database: sqlite3.Connection, paid: _Paid, kind: str) -> None:
    database.execute(
        "UPDATE queries SET state = ? WHERE account = ? AND idempotency = ?",
        (RELEASED, paid.account, paid.idempotency),
    )
    _pay_back(database, paid, kind, paid.cost)


def _pay_back(database: sqlite3.Connection, paid: _Paid, kind: str, units: int) -> None:
    """Enter what happened to a query under who paid for it, and give ``units`` back."""
    if units:
        database.executemany(
            "UPDATE counters SET spent = spent - ? WHERE subject = ?",
            [(units, subject) for subject in paid.subjects.split("\n")],
        )
    payer = Query(paid.account, paid.key_id, paid.plan, paid.idempotency, b"", paid.clips, ())
    _enter(database, kind, payer, paid.plan_version, delta=-units)


def _enter(
    database: sqlite3.Connection, kind: str, query: Query, plan_version: int, *, delta: int
) -> None:
    payer = (query.account, query.key_id, query.plan, plan_version)
    database.execute(_ENTER, (kind, *payer, query.idempotency, query.clips, delta))
