"""What the SQLite ledger keeps beside queries: keys, plans, claims, and its own record."""

import sqlite3
from typing import Any

from victim_service.ledger.records import AccountSpend, Entry, KeyRecord, PlanRecord, Totals
from victim_service.ledger.sqlite_schema import NOW

_KEYS = f"""
SELECT key_id, digest, account, plan, scope, budget, issued_at, expires_at, revoked_at,
  coalesce(expires_at <= {NOW}, 0) FROM keys
"""  # noqa: S608 - a constant
_REVOKE = f"UPDATE keys SET revoked_at = coalesce(revoked_at, {NOW}) WHERE key_id = ?"  # noqa: S608
_PLANS = "SELECT name, version, document, source, at FROM plans"
_LATEST = "SELECT coalesce(max(version), 0) FROM plans WHERE name = ?"
_ENTRIES = """
SELECT id, at, kind, account, key_id, plan, plan_version, idempotency, clips, delta
FROM entries WHERE id > ? ORDER BY id LIMIT ?
"""
_USAGE = "SELECT account, key_id, plan, spent, queries, audited, last_at FROM usage"


def now(database: sqlite3.Connection) -> float:
    """Return the ledger's clock, in seconds since 1970."""
    return float(database.execute(f"SELECT {NOW}").fetchone()[0])


def key(database: sqlite3.Connection, key_id: str) -> KeyRecord | None:
    """Return the record of an API key."""
    row = database.execute(f"{_KEYS} WHERE key_id = ?", (key_id,)).fetchone()
    return None if row is None else _key(row)


def keys(database: sqlite3.Connection) -> list[KeyRecord]:
    """Return all API keys, oldest first."""
    return [_key(row) for row in database.execute(f"{_KEYS} ORDER BY issued_at, key_id")]


def add_key(database: sqlite3.Connection, record: KeyRecord) -> None:
    """Keep a new API key."""
    holder = (record.key_id, record.digest, record.account, record.plan, record.scope)
    terms = (record.budget, record.issued_at, record.expires_at, record.revoked_at)
    database.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", holder + terms)


def revoke_key(database: sqlite3.Connection, key_id: str) -> bool:
    """Revoke an API key; False when there is none of that id."""
    return database.execute(_REVOKE, (key_id,)).rowcount > 0


def plan(database: sqlite3.Connection, name: str, version: int | None) -> PlanRecord | None:
    """Return a version of a plan, the latest one unless given."""
    row = database.execute(
        f"{_PLANS} WHERE name = ? AND version = coalesce(?, ({_LATEST}))", (name, version, name)
    ).fetchone()
    return None if row is None else PlanRecord(*row)


def plans(database: sqlite3.Connection) -> list[PlanRecord]:
    """Return the latest version of every plan, by name."""
    latest = "SELECT max(version) FROM plans AS other WHERE other.name = plans.name"
    rows = database.execute(f"{_PLANS} WHERE version = ({latest}) ORDER BY name")
    return [PlanRecord(*row) for row in rows]


def plan_history(database: sqlite3.Connection, name: str) -> list[PlanRecord]:
    """Return all versions of a plan, oldest first."""
    rows = database.execute(f"{_PLANS} WHERE name = ? ORDER BY version", (name,))
    return [PlanRecord(*row) for row in rows]


def add_plan(database: sqlite3.Connection, record: PlanRecord) -> bool:
    """Keep a new version, if it follows the latest one by 1."""
    if database.execute(_LATEST, (record.name,)).fetchone()[0] != record.version - 1:
        return False
    database.execute(
        f"INSERT INTO plans VALUES (?, ?, ?, ?, {NOW})",  # noqa: S608 - a constant
        (record.name, record.version, record.document, record.source),
    )
    return True


def claim(database: sqlite3.Connection, name: str, value: str) -> str:
    """Keep ``value`` under ``name`` unless there is one; return what is kept."""
    database.execute("INSERT OR IGNORE INTO claims VALUES (?, ?)", (name, value))
    return str(database.execute("SELECT value FROM claims WHERE name = ?", (name,)).fetchone()[0])


def entries(database: sqlite3.Connection, after: str, limit: int) -> list[Entry]:
    """Return up to ``limit`` entries that came after the one whose id is ``after``."""
    rows = database.execute(_ENTRIES, (int(after or 0), limit))
    return [Entry(str(number), *rest) for number, *rest in rows]


def spend(database: sqlite3.Connection) -> list[AccountSpend]:
    """Return what each key has bought, under each plan."""
    rows = database.execute(f"{_USAGE} ORDER BY account, key_id, plan")
    return [AccountSpend(*row) for row in rows]


def totals(database: sqlite3.Connection) -> Totals:
    """Return every counter and the latest entry's id."""
    spent = dict(database.execute("SELECT subject, spent FROM counters").fetchall())
    last = database.execute("SELECT max(id) FROM entries").fetchone()[0]
    return Totals(spent, spend(database), "" if last is None else str(last))


def _key(row: tuple[Any, ...]) -> KeyRecord:
    values = (*row[:-1], bool(row[-1]))
    return KeyRecord(*values)
