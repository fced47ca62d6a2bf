"""What the SQLite ledger keeps of accounts: defence states, detectors' memories, and notes."""

import sqlite3
from collections.abc import Sequence

from victim_service.ledger.base import KEPT_READINGS
from victim_service.ledger.records import Note, NoteKind, Watched
from victim_service.ledger.sqlite_schema import NOW

_SET_STATE = """
INSERT INTO accounts (account, defence_state) VALUES (?, ?) ON CONFLICT (account) DO UPDATE
  SET defence_state = excluded.defence_state, version = version + 1
"""
_BEGIN = """
INSERT OR IGNORE INTO accounts (account, defence_state, memory, version) VALUES (?, ?, ?, 1)
"""
_CHANGE = """
UPDATE accounts SET defence_state = ?, memory = ?, version = version + 1
  WHERE account = ? AND version = ?
"""
_NOTE = f"INSERT INTO notes (account, kind, text, at) VALUES (?, ?, ?, {NOW})"  # noqa: S608
_TRIM = """
DELETE FROM notes WHERE account = ?1 AND kind = 'reading' AND id <= (
  SELECT id FROM notes WHERE account = ?1 AND kind = 'reading' ORDER BY id DESC LIMIT 1 OFFSET ?2)
"""
_NOTES = """
SELECT kind, text, id, at FROM notes
  WHERE account = ? AND kind IN (?, ?) AND id > ? ORDER BY id {order} LIMIT ?
"""


def state(database: sqlite3.Connection, account: str) -> str:
    """Return the defence state of an account; empty at first."""
    row = database.execute(
        "SELECT defence_state FROM accounts WHERE account = ?", (account,)
    ).fetchone()
    return "" if row is None else str(row[0])


def states(database: sqlite3.Connection) -> dict[str, str]:
    """Return the defence state of every account that has one."""
    return dict(database.execute("SELECT account, defence_state FROM accounts").fetchall())


def set_state(database: sqlite3.Connection, account: str, text: str) -> None:
    """Keep the defence state of an account."""
    database.execute(_SET_STATE, (account, text))


def watched(database: sqlite3.Connection, account: str) -> Watched:
    """Return what is remembered of an account."""
    row = database.execute(
        "SELECT version, memory, defence_state FROM accounts WHERE account = ?", (account,)
    ).fetchone()
    return Watched(0, b"", "") if row is None else Watched(*row)


def keep_watched(
    database: sqlite3.Connection,
    account: str,
    version: int,
    memory: bytes,
    text: str,
    new_notes: Sequence[Note],
) -> bool:
    """Replace memory and state and append notes, if the account is at ``version``."""
    if version:
        done = database.execute(_CHANGE, (text, memory, account, version))
    else:
        done = database.execute(_BEGIN, (account, text, memory))
    if not done.rowcount:
        return False
    database.executemany(_NOTE, [(account, note.kind, note.text) for note in new_notes])
    if any(note.kind == "reading" for note in new_notes):
        database.execute(_TRIM, (account, KEPT_READINGS))
    return True


def notes(
    database: sqlite3.Connection,
    account: str,
    kind: NoteKind | None,
    after: str,
    limit: int,
    latest: bool,
) -> list[Note]:
    """Return notes of an account, in order: the first ones, or the last ones if ``latest``."""
    kinds = ("reading", "step") if kind is None else (kind, kind)
    select = _NOTES.format(order="DESC" if latest else "ASC")
    rows = database.execute(select, (account, *kinds, int(after or 0), limit)).fetchall()
    if latest:
        rows.reverse()
    return [Note(kind, text, str(number), at) for kind, text, number, at in rows]
