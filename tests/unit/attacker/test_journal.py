"""The journal: what is on disk after each step, and whose it is."""

import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attacker.errors import JournalError, JournalLocked, JournalMismatch
from attacker.journal import ANSWERED, JOURNAL_NAME, OBSERVED, PLANNED, Batch, Journal

IDENTITY: dict[str, Any] = {"n_classes": 3, "label_mode": "soft", "victim": "v", "seed": 0}


def answers(clips: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).random((clips, 3)).astype(np.float32)
    return rows / rows.sum(axis=1, keepdims=True)


def plan(journal: Journal, clips: int = 4, iteration: int = 1) -> Batch:
    first = journal.next_index()
    return journal.plan(
        iteration=iteration, first_index=first, clips=clips, payload_sha256=f"{first:064}"
    )


def observe(journal: Journal, batch: Batch, keep: np.ndarray | None = None) -> None:
    labels = journal.answers(batch).argmax(axis=1)
    journal.observe(batch, labels, np.ones(len(labels), bool) if keep is None else keep)


def test_a_batch_goes_through_its_three_states(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, IDENTITY)
    batch = plan(journal)
    assert journal.batches(PLANNED) == [batch]
    sent = answers(4)
    journal.answer(batch, sent)
    assert (journal.batches(PLANNED), journal.batches(ANSWERED)) == ([], [batch])
    assert np.array_equal(journal.answers(batch), sent)
    observe(journal, batch, np.array([True, False, True, True]))
    assert journal.batches(OBSERVED) == [batch]
    rows = journal.rows()
    assert rows.indices.tolist() == [0, 1, 2, 3]
    assert rows.kept.tolist() == [True, False, True, True]
    assert np.array_equal(rows.answers, sent)
    assert np.array_equal(rows.labels, sent.argmax(axis=1))


def test_every_step_is_on_disk_at_once(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, IDENTITY)
    states = []
    batch = plan(journal)
    for step in (
        lambda: None,
        lambda: journal.answer(batch, answers(4)),
        lambda: observe(journal, batch),
    ):
        step()
        reader = Journal.read(tmp_path)  # another connection sees committed data only
        states.append([s for s in (PLANNED, ANSWERED, OBSERVED) if reader.batches(s)])
        reader.close()
    assert states == [[PLANNED], [ANSWERED], [OBSERVED]]


def test_writes_reach_the_disk_before_they_return(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, IDENTITY)
    full, wal = 2, "wal"
    assert journal._db.execute("PRAGMA synchronous").fetchone()[0] == full
    assert journal._db.execute("PRAGMA journal_mode").fetchone()[0] == wal


def test_keys_differ_between_batches_and_campaigns(tmp_path: Path) -> None:
    one, other = Journal.open(tmp_path / "a", IDENTITY), Journal.open(tmp_path / "b", IDENTITY)
    keys = [plan(journal).key for journal in (one, one, other, other)]
    assert len(set(keys)) == 4
    assert all(8 <= len(key) <= 255 and key.isascii() for key in keys)


def test_hard_answers_and_rows_up_to_a_mark(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, {**IDENTITY, "label_mode": "hard"})
    for number in range(3):
        batch = plan(journal)
        journal.answer(batch, np.array([0, 1, 2, number]))
        journal.observe(batch, np.array([0, 1, 2, number]), np.array([True] * 4))
    rows = journal.rows(6)
    assert rows.answers.tolist() == [0, 1, 2, 0, 0, 1]
    assert rows.answers.dtype == np.int64
    everything = journal.rows()
    assert everything.first(6).transfer_sha256() == rows.transfer_sha256()
    assert everything.transfer_sha256() != rows.transfer_sha256()


def test_counts_that_a_writer_keeps_equal_those_of_the_file(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, IDENTITY)
    rng = np.random.default_rng(0)
    for number in range(6):
        batch = plan(journal, clips=int(rng.integers(1, 9)), iteration=1 + number // 2)
        if number != 4:
            journal.answer(batch, answers(batch.clips, seed=number))
        if number < 3:
            observe(journal, batch, rng.random(batch.clips) < 0.5)
        reader = Journal.read(tmp_path)
        assert journal.counts() == reader.counts()
        reader.close()
    counts = journal.counts()
    assert counts.planned > counts.answered > counts.observed > counts.kept > 0
    assert counts.iteration == 3


def test_opening_again_finds_everything(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, IDENTITY)
    first, second = plan(journal), plan(journal)
    journal.answer(first, answers(4))
    observe(journal, first)
    counts, campaign_id = journal.counts(), journal.campaign_id
    journal.close()
    again = Journal.open(tmp_path, dict(reversed(IDENTITY.items())))
    assert (again.counts(), again.campaign_id) == (counts, campaign_id)
    assert again.batches(PLANNED) == [second]
    assert plan(again).number == 2


def test_the_transfer_set_is_a_view(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, IDENTITY)
    batch = plan(journal)
    journal.answer(batch, answers(4))
    observe(journal, batch, np.array([False, True, True, False]))
    rows = journal._db.execute("SELECT query_index FROM transfer_set").fetchall()
    assert rows == [(1,), (2,)]


def test_an_answer_is_taken_once(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, IDENTITY)
    batch = plan(journal)
    journal.answer(batch, answers(4))
    with pytest.raises(JournalError, match="not awaiting"):
        journal.answer(batch, answers(4, seed=1))
    assert np.array_equal(journal.answers(batch), answers(4))


def test_a_refused_batch_is_passed_on_under_another_key(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, IDENTITY)
    batch = journal.plan(iteration=1, first_index=0, clips=4, payload_sha256="00", suffix="-a0")
    moved = journal.pass_on(batch, "-a1")
    assert moved == replace(batch, key=batch.key.removesuffix("-a0") + "-a1")
    assert journal.batches(PLANNED) == [moved]
    journal.answer(moved, answers(4))
    with pytest.raises(JournalError, match="not awaiting"):
        journal.pass_on(moved, "-a2")
    journal.close()


def test_a_planned_batch_is_put_in_two_halves(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, IDENTITY)
    plan(journal, clips=2)
    batch = journal.plan(iteration=1, first_index=2, clips=5, payload_sha256="00", suffix="-a1")
    first, second = journal.split(batch, [(2, "01"), (3, "02")])
    assert journal.batches(PLANNED)[1:] == [first, second]
    assert (first.first_index, first.clips, first.payload_sha256) == (2, 2, "01")
    assert (second.first_index, second.clips, second.payload_sha256) == (4, 3, "02")
    assert len({batch.key, first.key, second.key}) == 3
    assert all(part.key.endswith("-a1") for part in (first, second))
    assert journal.next_index() == 7
    journal.answer(second, answers(3))
    with pytest.raises(JournalError, match="not awaiting"):
        journal.split(second, [(1, "03"), (2, "04")])
    assert journal.batches(PLANNED)[1:] == [first]
    journal.close()


@pytest.mark.parametrize("change", [{"victim": "w"}, {"seed": 1}, {"material": "new"}])
def test_another_identity_is_refused_with_the_difference(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    Journal.open(tmp_path, IDENTITY).close()
    (name,) = change
    with pytest.raises(JournalMismatch, match=rf"{name}: .*--out.*start anew"):
        Journal.open(tmp_path, {**IDENTITY, **change})
    Journal.open(tmp_path, IDENTITY).close()  # the lock was given back


def test_two_attackers_cannot_write_one_journal(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, IDENTITY)
    with pytest.raises(JournalLocked, match=f"process {os.getpid()}"):
        Journal.open(tmp_path, IDENTITY)
    journal.close()
    Journal.open(tmp_path, IDENTITY).close()


def test_the_lock_ends_with_a_killed_process(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from attacker.journal import Journal\n"
        f"j = Journal.open(Path(sys.argv[1]), {IDENTITY!r})\n"
        "j.plan(iteration=1, first_index=0, clips=2, payload_sha256='x')\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    with pytest.raises(JournalLocked):
        Journal.open(tmp_path, IDENTITY)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    # A reader comes first: it must be able to read the log that the dead writer left.
    reader = Journal.read(tmp_path)
    assert reader.counts().planned == 2
    reader.close()
    assert Journal.open(tmp_path, IDENTITY).counts().planned == 2


def test_reading_writes_nothing(tmp_path: Path) -> None:
    Journal.open(tmp_path, IDENTITY).close()
    reader = Journal.read(tmp_path)
    with pytest.raises(sqlite3.OperationalError):
        plan(reader)


def test_a_journal_whose_beginning_was_killed_is_begun_again(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / JOURNAL_NAME).execute("PRAGMA journal_mode=WAL").close()
    Journal.demand_same(tmp_path, IDENTITY)
    with pytest.raises(JournalError):
        Journal.read(tmp_path)
    journal = Journal.open(tmp_path, IDENTITY)
    assert journal.next_index() == 0
    with pytest.raises(JournalMismatch):
        Journal.demand_same(tmp_path, {**IDENTITY, "seed": 1})


def test_answered_clips_are_counted_without_reading_the_rest(tmp_path: Path) -> None:
    with pytest.raises(JournalError):
        Journal.answered_in(tmp_path)
    journal = Journal.open(tmp_path, IDENTITY)
    first, _ = plan(journal), plan(journal)
    assert Journal.answered_in(tmp_path) == 0
    journal.answer(first, answers(4))
    assert Journal.answered_in(tmp_path) == journal.counts().answered == 4
    observe(journal, first)
    assert Journal.answered_in(tmp_path) == 4


def test_no_journal_and_no_sqlite_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="earshot-attacker run"):
        Journal.read(tmp_path)
    (tmp_path / JOURNAL_NAME).write_bytes(b"not a database, but long enough" * 100)
    with pytest.raises(JournalError, match="not a journal"):
        Journal.read(tmp_path)
    with pytest.raises(JournalError, match="not a journal"):
        Journal.open(tmp_path, IDENTITY)
