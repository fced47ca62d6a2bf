"""The attacker's truth: every batch is on disk before it goes over the wire.

A batch is PLANNED (its idempotency key and the hash of its bytes are on disk), then ANSWERED (the
victim's answers are), then OBSERVED (the sampler has decided, in query order). A crash between any
two steps loses nothing: PLANNED batches are sent again under the same key and cost nothing twice.
Clips are never stored: their query index makes them again.
"""

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from attacker.errors import JournalError, JournalMismatch
from attacker.journal_lock import take
from attacker.journal_rows import Batch, Counts, Rows

__all__ = ["JOURNAL_NAME", "Batch", "Counts", "Journal", "Rows"]

JOURNAL_NAME = "journal.sqlite"
LOCK_NAME = "journal.lock"
PLANNED, ANSWERED, OBSERVED = "PLANNED", "ANSWERED", "OBSERVED"

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE batches (
    number INTEGER PRIMARY KEY,
    iteration INTEGER NOT NULL,
    first_index INTEGER NOT NULL,
    clips INTEGER NOT NULL,
    key TEXT NOT NULL UNIQUE,
    payload_sha256 TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('PLANNED', 'ANSWERED', 'OBSERVED')),
    answers BLOB,
    planned_at REAL NOT NULL,
    answered_at REAL
);
CREATE INDEX batches_by_state ON batches (state);
CREATE TABLE clips (
    position INTEGER PRIMARY KEY,  -- how many clips were bought before this one
    query_index INTEGER NOT NULL UNIQUE,
    batch INTEGER NOT NULL REFERENCES batches (number),
    label INTEGER NOT NULL,
    kept INTEGER NOT NULL
);
CREATE VIEW transfer_set AS
    SELECT position, query_index, batch, label FROM clips WHERE kept = 1 ORDER BY position;
"""
_COLUMNS = "number, iteration, first_index, clips, key, payload_sha256"


class Journal:
    """The journal of one campaign, in its folder."""

    def __init__(self, connection: sqlite3.Connection, folder: Path, lock: int | None) -> None:
        self._db = connection
        self._lock = lock
        self.folder = folder
        self.identity: dict[str, Any] = json.loads(self._meta("identity") or "{}")
        self.campaign_id = self._meta("campaign_id") or ""
        self._counts, self._seen = self._ask_counts()

    @classmethod
    def open(cls, folder: Path, identity: Mapping[str, Any]) -> "Journal":
        """Open the journal in ``folder`` for writing, or begin it.

        ``identity`` is JSON data that says what the campaign buys, of whom, made from what;
        ``n_classes`` and ``label_mode`` in it say how answers are stored.

        Raises:
            JournalLocked: another process is writing it.
            JournalMismatch: it was begun with another identity.
            JournalError: the file is not a journal.
        """
        folder.mkdir(parents=True, exist_ok=True)
        lock = take(folder / LOCK_NAME)
        try:
            connection = sqlite3.connect(folder / JOURNAL_NAME, isolation_level=None)
            with _sqlite_errors(folder):
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                _begin(connection, identity)
                journal = cls(connection, folder, lock)
            _demand_same(journal.identity, json.loads(json.dumps(identity)), folder)
        except BaseException:
            os.close(lock)
            raise
        return journal

    @classmethod
    def demand_same(cls, folder: Path, identity: Mapping[str, Any]) -> None:
        """Compare a journal that may be in ``folder`` with ``identity``, and change nothing.

        Raises:
            JournalMismatch: it was begun with another identity.
            JournalError: the file is not a journal.
        """
        if (folder / JOURNAL_NAME).is_file():
            with _sqlite_errors(folder), closing(_connect(folder)) as connection:
                if not _is_begun(connection):  # killed before anything was planned
                    return
            with closing(cls.read(folder)) as journal:
                _demand_same(journal.identity, json.loads(json.dumps(identity)), folder)

    @classmethod
    def answered_in(cls, folder: Path) -> int:
        """Return the clips answered so far; cheap at any size.

        Raises:
            JournalError: there is no journal, or it is only being begun.
        """
        with _sqlite_errors(folder), closing(_connect(folder)) as connection:
            query = "SELECT COALESCE(SUM(clips), 0) FROM batches WHERE state <> ?"
            return int(connection.execute(query, (PLANNED,)).fetchone()[0])

    @classmethod
    def read(cls, folder: Path) -> "Journal":
        """Open the journal in ``folder`` for reading, also while a campaign writes it.

        Raises:
            JournalError: there is none, or the file is not a journal.
        """
        path = folder / JOURNAL_NAME
        if not path.is_file():
            raise JournalError(
                f"{path}: no journal. Name a run folder that `earshot-attacker run` began."
            )
        with _sqlite_errors(folder):
            return cls(_connect(folder), folder, None)

    def close(self) -> None:
        """Close the file and let others write it."""
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # ------------------------------------------------------------------------------- writing

    def plan(
        self,
        *,
        iteration: int,
        first_index: int,
        clips: int,
        payload_sha256: str,
        suffix: str = "",
    ) -> Batch:
        """Put a new batch on disk, before anything is sent, and return it with its key.

        ``suffix`` ends the idempotency key.
        """
        number = self._next_number()
        key = self._key(number, suffix)
        batch = Batch(number, iteration, first_index, clips, key, payload_sha256)
        with self._db:
            self._insert(batch)
        self._count(planned=clips, iteration=iteration - self.counts().iteration)
        return batch

    def pass_on(self, batch: Batch, suffix: str) -> Batch:
        """Give a planned batch, which was refused, a key that ends in ``suffix``; return it anew.

        It is on disk before the batch is sent under that key.
        """
        moved = replace(batch, key=self._key(batch.number, suffix))
        with self._db:
            changed = self._db.execute(
                "UPDATE batches SET key = ? WHERE number = ? AND state = ?",
                (moved.key, batch.number, PLANNED),
            ).rowcount
        _demand_one(changed, batch)
        return moved

    def split(self, batch: Batch, sizes: Sequence[tuple[int, str]]) -> list[Batch]:
        """Put parts in the place of a planned batch that was too large to be sold.

        ``sizes`` are the clips and the hash of each. They are on disk, under keys of their own,
        before they are sent.
        """
        suffix = batch.key.removeprefix(self._key(batch.number, ""))
        first, parts = batch.first_index, []
        for number, (clips, sha256) in enumerate(sizes, start=self._next_number()):
            key = self._key(number, suffix)
            parts.append(Batch(number, batch.iteration, first, clips, key, sha256))
            first += clips
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            changed = self._db.execute(
                "DELETE FROM batches WHERE number = ? AND state = ?", (batch.number, PLANNED)
            ).rowcount
            _demand_one(changed, batch)
            for part in parts:
                self._insert(part)
        return parts

    def answer(self, batch: Batch, answers: np.ndarray) -> None:
        """Put the victim's answers to ``batch`` on disk: (B, K) float32, or (B,) int64 (hard)."""
        data = np.ascontiguousarray(answers, dtype=self._dtype).tobytes()
        with self._db:
            changed = self._db.execute(
                "UPDATE batches SET state = ?, answers = ?, answered_at = ? "
                "WHERE number = ? AND state = ?",
                (ANSWERED, data, time.time(), batch.number, PLANNED),
            ).rowcount
        _demand_one(changed, batch)
        self._count(answered=batch.clips)

    def observe(self, batch: Batch, labels: np.ndarray, keep: np.ndarray) -> None:
        """Put the sampler's decisions (B,) on an answered ``batch`` on disk."""
        position = self.counts().observed
        rows = [
            (position + row, batch.first_index + row, batch.number, int(label), int(kept))
            for row, (label, kept) in enumerate(zip(labels, keep, strict=True))
        ]
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            self._db.executemany("INSERT INTO clips VALUES (?, ?, ?, ?, ?)", rows)
            self._db.execute(
                "UPDATE batches SET state = ? WHERE number = ?", (OBSERVED, batch.number)
            )
        self._seen.update(int(label) for label in labels)
        self._count(observed=batch.clips, kept=int(np.sum(keep)))

    def end(self, reason: str | None) -> None:
        """Note why the campaign ended; None while it goes on."""
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('ended', ?)", (reason or "",))

    # ------------------------------------------------------------------------------- reading

    @property
    def ended(self) -> str | None:
        """Why the campaign ended, or None."""
        return self._meta("ended") or None

    def batches(self, state: str) -> list[Batch]:
        """Return the batches in ``state``, in query order."""
        query = f"SELECT {_COLUMNS} FROM batches WHERE state = ? ORDER BY first_index"  # noqa: S608
        return [Batch(*row) for row in self._db.execute(query, (state,))]

    def sizes(self) -> list[tuple[str, int]]:
        """Return the idempotency key and the clips of every batch, in query order."""
        return self._db.execute("SELECT key, clips FROM batches ORDER BY first_index").fetchall()

    def answers(self, batch: Batch) -> np.ndarray:
        """Return the answers to ``batch``: (B, K) float32, or (B,) int64 in hard mode."""
        data = self._one("SELECT answers FROM batches WHERE number = ?", batch.number)
        return self._decode(data)

    def next_index(self) -> int:
        """Return the first query index that was never planned; there are no gaps before it."""
        return self.counts().planned

    def observed_labels(self) -> np.ndarray:
        """Return the labels (N,) of all observed clips, in the order of observation."""
        rows = self._db.execute("SELECT label FROM clips ORDER BY position").fetchall()
        return np.array([label for (label,) in rows], dtype=np.int64)

    def observed_indices(self) -> np.ndarray:
        """Return the query indices (N,) of all observed clips, in the order of observation."""
        rows = self._db.execute("SELECT query_index FROM clips ORDER BY position").fetchall()
        return np.array([index for (index,) in rows], dtype=np.int64)

    def counts(self) -> Counts:
        """Return how far the campaign is.

        A writer counts along, since asking the file anew would cost more with every batch.
        """
        if self._lock is None:
            self._counts, self._seen = self._ask_counts()
        return replace(self._counts, labels_seen=len(self._seen))

    def _count(self, **more: int) -> None:
        counts = self._counts
        self._counts = replace(counts, **{k: getattr(counts, k) + n for k, n in more.items()})

    def _ask_counts(self) -> tuple[Counts, set[int]]:
        planned, answered, iteration = self._db.execute(
            "SELECT COALESCE(SUM(clips), 0), COALESCE(SUM(clips) FILTER (WHERE state <> ?), 0), "
            "COALESCE(MAX(iteration), 0) FROM batches",
            (PLANNED,),
        ).fetchone()
        observed, kept = self._db.execute(
            "SELECT COUNT(*), COALESCE(SUM(kept), 0) FROM clips"
        ).fetchone()
        seen = {label for (label,) in self._db.execute("SELECT DISTINCT label FROM clips")}
        return Counts(planned, answered, observed, kept, len(seen), iteration), seen

    def rows(self, mark: int | None = None) -> Rows:
        """Return the first ``mark`` observed clips (all of them by default) with their answers."""
        limit = -1 if mark is None else mark
        query = "SELECT query_index, batch, label, kept FROM clips ORDER BY position LIMIT ?"
        table = np.array(self._db.execute(query, (limit,)).fetchall(), dtype=np.int64)
        table = table.reshape(-1, 4)
        width = (self.identity["n_classes"],) if self._dtype == np.float32 else ()
        answers = np.zeros((len(table), *width), dtype=self._dtype)
        edges = [row for row in range(1, len(table)) if table[row, 1] != table[row - 1, 1]]
        for start, end in pairwise([0, *edges, len(table)] if len(table) else []):
            data = self._one("SELECT answers FROM batches WHERE number = ?", int(table[start, 1]))
            answers[start:end] = self._decode(data)[: end - start]
        return Rows(table[:, 0], table[:, 2], table[:, 3].astype(bool), answers)

    def _insert(self, batch: Batch) -> None:
        self._db.execute(
            f"INSERT INTO batches ({_COLUMNS}, state, planned_at) "  # noqa: S608
            f"VALUES (?, ?, ?, ?, ?, ?, '{PLANNED}', ?)",
            (*astuple(batch), time.time()),
        )

    def _next_number(self) -> int:
        return int(self._one("SELECT COALESCE(MAX(number), -1) + 1 FROM batches"))

    def _key(self, number: int, suffix: str) -> str:
        return f"{self.campaign_id}-{number}{suffix}"

    @property
    def _dtype(self) -> type[np.float32] | type[np.int64]:
        return np.int64 if self.identity["label_mode"] == "hard" else np.float32

    def _decode(self, data: bytes) -> np.ndarray:
        flat: np.ndarray = np.frombuffer(data, dtype=self._dtype)
        return flat.reshape(-1, self.identity["n_classes"]) if self._dtype == np.float32 else flat

    def _one(self, query: str, *values: Any) -> Any:
        return self._db.execute(query, values).fetchone()[0]

    def _meta(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])


def _demand_one(changed: int, batch: Batch) -> None:
    if changed != 1:
        raise JournalError(f"batch {batch.number} is not awaiting an answer. Report this bug.")


def _begin(connection: sqlite3.Connection, identity: Mapping[str, Any]) -> None:
    """Write the schema and the identity in one transaction, unless they are there."""
    if _is_begun(connection):
        return
    connection.execute("BEGIN EXCLUSIVE")
    with connection:
        for statement in _SCHEMA.split(";\n"):
            connection.execute(statement)
        rows = [
            ("identity", json.dumps(identity, sort_keys=True)),
            ("campaign_id", uuid.uuid4().hex),
        ]
        connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)


def _is_begun(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0])


def _connect(folder: Path) -> sqlite3.Connection:
    # Not mode=ro: a reader must be able to recover the log that a killed writer left.
    uri = f"file:{folder / JOURNAL_NAME}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    connection.execute("PRAGMA query_only=ON")
    return connection


@contextmanager
def _sqlite_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise JournalError(
            f"{folder / JOURNAL_NAME}: not a journal that can be read ({error}). Name another "
            "folder, or restore this one from a copy."
        ) from error


def _demand_same(found: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    names = sorted(set(found) | set(wanted))
    differ = [name for name in names if found.get(name) != wanted.get(name)]
    if differ:
        details = "; ".join(
            f"{name}: {found.get(name)!r} in the journal, {wanted.get(name)!r} now"
            for name in differ
        )
        raise JournalMismatch(
            f"{folder / JOURNAL_NAME} belongs to another campaign ({details}). Choose another "
            f"folder with --out, or remove {folder} to start anew and pay again."
        )
