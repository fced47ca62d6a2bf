"""Tables of the SQLite ledger, and the way from older ones."""

import sqlite3

RUNNING, COMMITTED, RELEASED = 0, 1, 2
"""States of a query."""

NOW = "((julianday('now') - 2440587.5) * 86400.0)"
"""The ledger's clock in SQL: seconds since 1970, to the millisecond."""

_TABLES = """
CREATE TABLE keys (
  key_id TEXT PRIMARY KEY, digest BLOB NOT NULL, account TEXT NOT NULL, plan TEXT NOT NULL,
  scope TEXT NOT NULL, budget INTEGER, issued_at REAL NOT NULL, expires_at REAL, revoked_at REAL
) WITHOUT ROWID;

CREATE TABLE queries (
  account TEXT NOT NULL, idempotency TEXT NOT NULL, payload BLOB NOT NULL, clips INTEGER NOT NULL,
  state INTEGER NOT NULL, token TEXT NOT NULL, lease_until REAL NOT NULL, key_id TEXT NOT NULL,
  plan TEXT NOT NULL, subjects TEXT NOT NULL,
  PRIMARY KEY (account, idempotency)
) WITHOUT ROWID;
CREATE INDEX running ON queries (lease_until) WHERE state = 0;

CREATE TABLE counters (
  subject TEXT PRIMARY KEY, spent INTEGER NOT NULL CHECK (spent >= 0)
) WITHOUT ROWID;
CREATE TABLE rates (
  subject TEXT PRIMARY KEY, arrival_s REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL,
  account TEXT NOT NULL, key_id TEXT NOT NULL, plan TEXT NOT NULL, idempotency TEXT NOT NULL,
  clips INTEGER NOT NULL, delta INTEGER NOT NULL
);
CREATE TRIGGER entries_keep BEFORE UPDATE ON entries
  BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER entries_stay BEFORE DELETE ON entries
  BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
"""

# Version 2: answers that can be given again, plans in versions, and usage as counters.
_SECOND = """
ALTER TABLE queries ADD COLUMN plan_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE queries ADD COLUMN model TEXT NOT NULL DEFAULT '';
ALTER TABLE queries ADD COLUMN defence_state TEXT NOT NULL DEFAULT '';
ALTER TABLE entries ADD COLUMN plan_version INTEGER NOT NULL DEFAULT 1;

CREATE TABLE accounts (
  account TEXT PRIMARY KEY, defence_state TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE plans (
  name TEXT NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL, source TEXT NOT NULL,
  at REAL NOT NULL, PRIMARY KEY (name, version)
) WITHOUT ROWID;
CREATE TRIGGER plans_keep BEFORE UPDATE ON plans
  BEGIN SELECT RAISE(ABORT, 'versions of plans never change'); END;
CREATE TABLE claims (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE usage (
  account TEXT NOT NULL, key_id TEXT NOT NULL, plan TEXT NOT NULL, spent INTEGER NOT NULL,
  queries INTEGER NOT NULL, audited INTEGER NOT NULL, last_at REAL NOT NULL,
  PRIMARY KEY (account, key_id, plan)
) WITHOUT ROWID;
INSERT INTO usage
  SELECT account, key_id, plan, SUM(delta), SUM(kind = 'commit'),
    SUM(CASE kind WHEN 'audit' THEN clips ELSE 0 END), MAX(at)
  FROM entries GROUP BY account, key_id, plan;
CREATE TRIGGER entries_count AFTER INSERT ON entries BEGIN
  INSERT INTO usage VALUES (new.account, new.key_id, new.plan, new.delta, new.kind = 'commit',
    CASE new.kind WHEN 'audit' THEN new.clips ELSE 0 END, new.at)
  ON CONFLICT (account, key_id, plan) DO UPDATE SET spent = spent + excluded.spent,
    queries = queries + excluded.queries, audited = audited + excluded.audited,
    last_at = max(last_at, excluded.last_at);
END;
"""

# What a query holds of each budget; NULL, of an older ledger, is one unit a clip.
_COSTS = """
ALTER TABLE queries ADD COLUMN cost INTEGER CHECK (cost >= 0);
"""

# What detectors remember of an account, and what is noted of it; steps stay as they were written.
_WATCHED = """
ALTER TABLE accounts ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE accounts ADD COLUMN memory BLOB NOT NULL DEFAULT x'';
CREATE TABLE notes (
  id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, kind TEXT NOT NULL,
  text TEXT NOT NULL, at REAL NOT NULL
);
CREATE INDEX notes_of ON notes (account, kind, id);
CREATE TRIGGER notes_keep BEFORE UPDATE ON notes
  BEGIN SELECT RAISE(ABORT, 'notes never change'); END;
CREATE TRIGGER steps_stay BEFORE DELETE ON notes WHEN old.kind <> 'reading'
  BEGIN SELECT RAISE(ABORT, 'steps are append-only'); END;
"""

_STEPS = (_TABLES, _SECOND, _COSTS, _WATCHED)
"""What makes each version out of the one before."""

VERSION = len(_STEPS)


def create(database: sqlite3.Connection) -> None:
    """Make the tables of an empty file, or bring those of an older version to this one.

    Raises:
        ValueError: the file holds tables of a version that this program does not know.
    """
    if _version(database) == VERSION:
        return
    database.execute("BEGIN IMMEDIATE")  # several processes may start at once: one does the work
    try:
        for step in _STEPS[_version(database) :]:
            for statement in _statements(step):
                database.execute(statement)
        database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def _version(database: sqlite3.Connection) -> int:
    found = int(database.execute("PRAGMA user_version").fetchone()[0])
    if not 0 <= found <= VERSION:
        raise ValueError(
            f"the ledger has version {found}, this program writes version {VERSION}. "
            "Name another file, or use the program that wrote it."
        )
    return found


def _statements(script: str) -> list[str]:
    """Split ``script``, without the implied COMMIT of ``executescript``."""
    statements, begun = [], ""
    for line in script.splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            statements.append(begun)
            begun = ""
    return statements
