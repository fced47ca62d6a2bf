"""What only the SQLite ledger has: a file, its versions, and one thread that writes."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.victim_service.ledger.asking import LEASE_S, PATIENT_S, policies, query
from victim_service.errors import Refusal, StartError
from victim_service.keys import issue
from victim_service.ledger import open_ledger, sqlite_schema, sqlite_writer
from victim_service.ledger.patience import within
from victim_service.ledger.sqlite import SqliteLedger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    store = SqliteLedger(tmp_path / "ledger.sqlite", timeout_s=PATIENT_S)
    yield store
    store.close()


def write(ledger: SqliteLedger, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(ledger.path)) as database, database:
        database.execute(statement)


@pytest.mark.parametrize(
    ("statement", "subjects"),
    [
        ("UPDATE counters SET spent = 6 WHERE subject = 'key:k'", ["key:k"]),
        ("DELETE FROM counters WHERE subject = 'global'", ["global"]),
        ("INSERT INTO counters VALUES ('key:x', 1)", ["key:x"]),
        ("UPDATE usage SET spent = 6", ["usage:a/k/soft spent"]),
        ("UPDATE usage SET queries = 0, audited = 1",
         ["usage:a/k/soft audited", "usage:a/k/soft queries"]),
        ("DELETE FROM usage", ["usage:a/k/soft queries", "usage:a/k/soft spent"]),
    ],
)  # fmt: skip
def test_verify_names_every_false_counter(ledger, run, buy, statement, subjects):
    buy(query(clips=7))
    run(ledger.reserve(query("abandoned", 2), 0.0))
    run(ledger.reap(0.0))
    assert run(ledger.verify()) == []
    write(ledger, statement)
    assert [wrong.subject for wrong in run(ledger.verify())] == subjects


def test_verify_tells_counter_and_entries(ledger, run, buy):
    buy(query(clips=7))
    write(ledger, "UPDATE counters SET spent = 6 WHERE subject = 'key:k'")
    (wrong,) = run(ledger.verify())
    assert (wrong.subject, wrong.counter, wrong.entries) == ("key:k", 6, 7)


def test_verify_sees_an_entry_that_was_cut_out(ledger, run, buy):
    buy(query("one", 7))
    buy(query("two", 2))
    write(ledger, "DROP TRIGGER entries_stay")
    write(ledger, "DELETE FROM entries WHERE id = 3")
    wrong = {item.subject: (item.counter, item.entries) for item in run(ledger.verify())}
    assert wrong["global"] == (9, 7)


@pytest.mark.parametrize("statement", ["UPDATE entries SET delta = 0", "DELETE FROM entries"])
def test_entries_cannot_be_changed(ledger, buy, statement):
    buy(query())
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        write(ledger, statement)


def test_no_secret_of_a_key_reaches_the_file(ledger, run):
    key, record = issue("alice", "soft", "query", budget=5)
    run(ledger.add_key(record))
    secret = key.split("_")[2].encode()
    ledger.close()
    assert all(secret not in file.read_bytes() for file in ledger.path.parent.iterdir())


def old_ledger(path: Path) -> None:
    """Write a ledger as version 1 did."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(sqlite_schema._TABLES)
        database.executescript(
            "INSERT INTO queries VALUES ('a', 'q', x'7061796c6f6164', 7, 1, 't', 0, 'k', 'soft',"
            " 'key:k' || char(10) || 'account:a' || char(10) || 'global');"
            "INSERT INTO counters VALUES ('key:k', 7), ('account:a', 7), ('global', 7);"
            "INSERT INTO entries (at, kind, account, key_id, plan, idempotency, clips, delta)"
            " VALUES (1.0, 'reserve', 'a', 'k', 'soft', 'q', 7, 7),"
            " (2.0, 'commit', 'a', 'k', 'soft', 'q', 7, 0),"
            " (3.0, 'audit', 'a', 'k2', 'audit', 'r', 5, 0);"
            "PRAGMA user_version = 1;"
        )


def test_a_ledger_of_version_1_is_brought_to_this_one_with_all_it_sold(tmp_path, run):
    path = tmp_path / "old.sqlite"
    old_ledger(path)
    for _ in range(2):  # and a second opening changes nothing
        ledger = SqliteLedger(path, PATIENT_S)
        assert run(ledger.verify()) == []
        soft, audit = run(ledger.spend())
        assert (soft.spent, soft.queries, soft.last_at) == (7, 1, 2.0)
        assert (audit.audited, audit.queries) == (5, 0)
        assert [entry.plan_version for entry in run(ledger.entries())] == [1, 1, 1]
        ledger.close()


def test_a_query_of_version_1_is_replayed_by_any_model(tmp_path, run):
    path = tmp_path / "old.sqlite"
    old_ledger(path)
    ledger = SqliteLedger(path, PATIENT_S)
    grant = run(ledger.reserve(query(clips=7, model="m2"), LEASE_S))
    assert (grant.replayed, grant.plan_version, grant.state) == (True, 1, "")
    ledger.close()


def test_several_processes_may_bring_a_ledger_up_at_once(tmp_path):
    path = tmp_path / "old.sqlite"
    old_ledger(path)

    async def open_many() -> list[SqliteLedger]:
        return await asyncio.gather(
            *(asyncio.to_thread(SqliteLedger, path, PATIENT_S) for _ in range(8))
        )

    for ledger in asyncio.run(open_many()):
        assert len(asyncio.run(ledger.spend())) == 2
        ledger.close()


def test_a_ledger_of_a_later_version_is_refused(tmp_path):
    path = tmp_path / "later.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(
        StartError, match=rf"version 99, .* writes version {sqlite_schema.VERSION}\. Name"
    ):
        SqliteLedger(path)


def test_a_file_that_is_no_ledger_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("these are notes " * 100)
    with pytest.raises(StartError, match="Name a file"):
        SqliteLedger(path)


@pytest.mark.parametrize("url", ["http://localhost", "sqlite://x", "ledger.db", ""])
def test_an_unknown_kind_of_ledger_is_named_with_the_valid_ones(url):
    with pytest.raises(StartError, match="sqlite:///"):
        open_ledger(url)


def test_a_ledger_that_is_not_there_is_made_only_for_a_seller(tmp_path, run):
    url = f"sqlite:///{tmp_path / 'none.sqlite'}"
    with pytest.raises(StartError, match="no such file"):
        open_ledger(url, create=False)
    assert list(tmp_path.iterdir()) == []
    run(open_ledger(url).aclose())
    run(open_ledger(url, create=False).aclose())


def test_a_cancellation_that_meets_a_result_is_not_lost():
    async def work() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(within(future, PATIENT_S))
        await asyncio.sleep(0)
        future.set_result(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())


def test_a_grant_that_meets_a_cancellation_is_given_back(tmp_path, run, monkeypatch):
    ledger = SqliteLedger(tmp_path / "ledger.sqlite", PATIENT_S)
    plain = sqlite_writer._Work.tell

    async def work() -> None:
        def tell_and_cancel(self, result, refusal):
            plain(self, result, refusal)
            task.cancel()

        with monkeypatch.context() as patched:
            patched.setattr(sqlite_writer._Work, "tell", tell_and_cancel)
            task = asyncio.create_task(ledger.reserve(query(clips=7), LEASE_S))
            with pytest.raises(asyncio.CancelledError):
                await task
        await ledger.ping()

    run(work())
    assert [entry.kind for entry in run(ledger.entries())] == ["reserve", "release"]
    assert run(ledger.standing(policies())).spent == 0
    ledger.close()


def reserve_too_late(path: Path, *, begun: bool) -> SqliteLedger:
    """Have a reservation time out behind a slow step, and wait until both are over.

    When it has ``begun``, in one transaction with the slow step, it can no longer be cancelled.
    """
    ledger = SqliteLedger(path, timeout_s=0.4)

    async def work() -> None:
        slow = ledger._writer.submit(lambda _: time.sleep(0.2 if begun else 0.8))
        await asyncio.sleep(0.1)
        if begun:
            slow = ledger._writer.submit(lambda _: time.sleep(0.8))
        with pytest.raises(Refusal, match="ledger-unreachable"):
            await ledger.reserve(query(clips=7), LEASE_S)
        await slow
        await asyncio.sleep(0.2)

    asyncio.run(work())
    return ledger


def test_a_reservation_that_is_late_but_waiting_is_never_made(tmp_path, run):
    ledger = reserve_too_late(tmp_path / "ledger.sqlite", begun=False)
    assert run(ledger.entries()) == []
    ledger.close()


def test_a_reservation_that_went_through_too_late_is_given_back(tmp_path, run):
    ledger = reserve_too_late(tmp_path / "ledger.sqlite", begun=True)
    assert [entry.kind for entry in run(ledger.entries())] == ["reserve", "release"]
    assert run(ledger.standing(policies())).spent == 0
    assert run(ledger.verify()) == []
    ledger.close()


def test_a_purchase_of_a_lapsed_query_that_went_through_too_late_is_given_back(tmp_path, run):
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path, PATIENT_S)
    first = run(ledger.reserve(query(clips=7), 0.0))
    late = reserve_too_late(path, begun=True)
    kinds = [entry.kind for entry in run(ledger.entries())]
    assert kinds == ["reserve", "reap", "reserve", "release"]
    with pytest.raises(Refusal, match="deadline-passed"):
        run(ledger.commit(query(clips=7), first))
    assert run(ledger.standing(policies())).spent == 0
    assert run(ledger.verify()) == []
    late.close()
    ledger.close()


def test_the_writer_isolates_a_step_that_is_at_fault(ledger, run):
    async def work() -> list[object]:
        def broken(database: sqlite3.Connection) -> None:
            database.execute("INSERT INTO counters VALUES ('x', -1)")

        good = [ledger.reserve(query(f"q{n}"), LEASE_S) for n in range(8)]
        return await asyncio.gather(*good, ledger._do(broken), return_exceptions=True)

    *good, broken = run(work())
    assert isinstance(broken, Refusal)
    assert not any(isinstance(outcome, BaseException) for outcome in good)
    assert run(ledger.standing(policies())).spent == 8
    assert run(ledger.verify()) == []
