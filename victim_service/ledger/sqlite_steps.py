"""How a query is bought from the SQLite ledger, by the writer inside one transaction.

All is decided before the first write, so that a refusal leaves nothing, and so that what would be
decided can be told without buying.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from victim_service.ledger import sqlite_settle
from victim_service.ledger import standing as arithmetic
from victim_service.ledger.base import Grant, Policy, Query, Standing
from victim_service.ledger.patience import new_token
from victim_service.ledger.sqlite_schema import COMMITTED, NOW, RELEASED, RUNNING
from victim_service.ledger.sqlite_settle import Paid
from victim_service.ledger.standing import Reading

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


@dataclass(frozen=True, slots=True)
class _Sale:
    """What a reservation does, if it is made."""

    new: bool
    """Whether the query has no record."""
    lapsed: Paid | None
    """A reservation of the query that nobody was answered for: it goes back first."""
    replayed: bool
    cost: int
    version: int
    defence_state: str
    reading: Reading
    """Before the cost, and without what goes back."""
    arrivals: Mapping[str, float]


def reserve(database: sqlite3.Connection, query: Query, lease_s: float) -> Grant:
    """Charge all policies of ``query`` or none, and write its idempotency record."""
    sale = _decide(database, query)
    token, now = new_token(), sale.reading.now_s
    if not sale.replayed:
        _pay(database, query, sale, token, now + lease_s)
    database.executemany(_ARRIVE, sale.arrivals.items())
    kind = "replay" if sale.replayed else "reserve"
    sqlite_settle.enter(database, kind, query, sale.version, delta=sale.cost)
    spent = {subject: before + sale.cost for subject, before in sale.reading.spent.items()}
    left = arithmetic.standing(query.policies, Reading(spent, sale.arrivals, now))
    return Grant(token, sale.cost, sale.replayed, left, sale.version, sale.defence_state)


def would_replay(database: sqlite3.Connection, query: Query) -> bool:
    """Whether a reservation would be a replay; it refuses as that would, and writes nothing."""
    return _decide(database, query).replayed


def standing(database: sqlite3.Connection, policies: Sequence[Policy]) -> Standing:
    """Return what is left under ``policies``."""
    now = database.execute(f"SELECT {NOW}").fetchone()[0]
    return arithmetic.standing(policies, _read(database, policies, now))


def _decide(database: sqlite3.Connection, query: Query) -> _Sale:
    named = (query.account, query.idempotency, query.account)
    now, account_state, *found = database.execute(_FIND, named).fetchone()
    record = _Record(*found)
    new = record.payload is None
    if not new:
        _check_record(record, query, now)
    state = RELEASED if new else record.state
    reading = _read(database, query.policies, now)
    lapsed = None
    if state == RUNNING:
        lapsed = sqlite_settle.paid(database, query)
        reading = _without(reading, lapsed)
    replayed = state == COMMITTED
    cost = 0 if replayed else query.units
    arrivals = arithmetic.allow(query.policies, reading, cost=cost, clips=query.clips)
    # Only an answer that was given binds: whatever else is known is bought as it is sold now.
    terms = (record.plan_version, record.defence_state)
    if not replayed:
        terms = (query.plan_version, account_state)
    return _Sale(new, lapsed, replayed, cost, *terms, reading, arrivals)


def _check_record(record: _Record, query: Query, now: float) -> None:
    if record.payload != query.payload or record.clips != query.clips:
        raise arithmetic.other_bytes()
    if record.state == RUNNING and record.lease_until > now:
        raise arithmetic.still_running(record.lease_until - now)
    if record.state == COMMITTED and record.plan != query.plan:
        raise arithmetic.other_plan()
    # A ledger of version 1 did not keep the model.
    if record.state == COMMITTED and record.model not in ("", query.model):
        raise arithmetic.other_model()


def _pay(
    database: sqlite3.Connection, query: Query, sale: _Sale, token: str, lease_until: float
) -> None:
    """Charge the budgets, and write the record of a running query."""
    if sale.lapsed is not None:
        sqlite_settle.give_back(database, sale.lapsed, "reap")
    key = (query.account, query.idempotency)
    subjects = arithmetic.budget_subjects(query.policies)
    lease = (token, lease_until, query.key_id, query.plan, "\n".join(subjects))
    terms = (sale.version, query.model, sale.defence_state, sale.cost)
    if sale.new:
        database.execute(_INSERT, (*key, query.payload, query.clips, *lease, *terms))
    else:
        database.execute(_PAY_AGAIN, (*lease, *terms, *key))
    if subjects:
        charges = [part for name in subjects for part in (name, sale.cost)]
        database.execute(_charge(len(subjects)), charges)


def _without(reading: Reading, lapsed: Paid) -> Reading:
    """Return ``reading`` as it is when what ``lapsed`` holds went back."""
    held = lapsed.subjects.split("\n")
    spent = {
        subject: units - lapsed.cost if subject in held else units
        for subject, units in reading.spent.items()
    }
    return Reading(spent, reading.arrivals, reading.now_s)


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
