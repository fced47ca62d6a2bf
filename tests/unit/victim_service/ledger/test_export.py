"""The signed export, of every ledger."""

import asyncio
import contextlib
import fcntl
import json
import sqlite3
from pathlib import Path

import pytest

from tests.unit.victim_service.ledger.asking import LEASE_S, PATIENT_S, policies, query
from victim_service.errors import StartError
from victim_service.ledger import export
from victim_service.ledger.sqlite import SqliteLedger

SECRET = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "export.jsonl"


@pytest.fixture
def write(ledger, run, path):
    """Export once more."""
    return lambda: run(export.export(ledger, path, SECRET))


@pytest.fixture
def check(ledger, run, path):
    """Check the export."""
    return lambda secret=SECRET: run(export.check(ledger, path, secret))


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_an_export_holds_every_entry_and_is_only_ever_added_to(
    ledger, run, buy, path, write, check
):
    assert write() == export.Exported(0, 0)
    assert check() == export.Checked(0, 0)
    for number in range(3):
        buy(query(f"q{number}", 7))
    assert write() == export.Exported(0, 6)
    first = path.read_bytes()
    assert write() == export.Exported(6, 0)
    assert path.read_bytes() == first
    buy(query("later"))
    assert check() == export.Checked(6, 2)
    assert write() == export.Exported(6, 2)
    assert path.read_bytes().startswith(first)
    assert check() == export.Checked(8, 0)
    told = [json.loads(line) for line in lines(path)]
    assert [(item["id"], item["delta"]) for item in told] == [
        (entry.id, entry.delta) for entry in run(ledger.entries())
    ]
    assert all(len(item["chain"]) == 64 for item in told)


@pytest.fixture
def exported(buy, write):
    for number in range(4):
        buy(query(f"q{number}", 7))
    write()


def alter(changed: list[bytes]) -> None:
    changed[3] = changed[3].replace(b'"clips":7', b'"clips":1')


def drop(changed: list[bytes]) -> None:
    del changed[3]


def swap(changed: list[bytes]) -> None:
    changed[3], changed[4] = changed[4], changed[3]


def double(changed: list[bytes]) -> None:
    changed.insert(3, changed[2])


def insert(changed: list[bytes]) -> None:
    changed.insert(3, b"{}\n")


def garble(changed: list[bytes]) -> None:
    changed[3] = b"\x00\xff\n"


def rechain(changed: list[bytes]) -> None:
    changed[3] = changed[3].replace(b'"chain":"', b'"chain":"00')


@pytest.mark.usefixtures("exported")
@pytest.mark.parametrize("tamper", [alter, drop, swap, double, insert, garble, rechain])
def test_a_file_that_was_tampered_with_is_told_by_its_line(path, write, check, tamper):
    changed = lines(path)
    tamper(changed)
    path.write_bytes(b"".join(changed))
    with pytest.raises(StartError, match="line 4 was altered, or one before it is missing"):
        check()
    with pytest.raises(StartError, match="line 4 was altered"):
        write()
    assert path.read_bytes() == b"".join(changed)


@pytest.mark.usefixtures("exported")
def test_a_first_line_that_is_gone_is_told(path, check):
    path.write_bytes(b"".join(lines(path)[1:]))
    with pytest.raises(StartError, match="line 1 was altered"):
        check()


@pytest.mark.usefixtures("exported")
@pytest.mark.parametrize("cut", [1, 2, 60])
def test_a_line_cut_short_by_a_crash_is_told_and_completed(path, write, check, cut):
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with pytest.raises(StartError, match="line 8 is cut short"):
        check()
    assert write() == export.Exported(7, 1)
    assert path.read_bytes() == whole
    assert check() == export.Checked(8, 0)


@pytest.mark.usefixtures("exported")
def test_lines_cut_off_at_the_end_are_exported_again(path, write, check):
    whole = path.read_bytes()
    path.write_bytes(b"".join(lines(path)[:5]))
    assert check() == export.Checked(5, 3)
    assert write() == export.Exported(5, 3)
    assert path.read_bytes() == whole


@pytest.mark.usefixtures("exported")
def test_another_secret_signs_otherwise(check):
    with pytest.raises(StartError, match="another ledger's secret"):
        check(bytes(32))


@pytest.mark.usefixtures("exported")
def test_the_export_of_another_ledger_is_refused(tmp_path, run, path):
    other = SqliteLedger(tmp_path / "other.sqlite", PATIENT_S)
    with pytest.raises(StartError, match="line 1 is no longer in the ledger"):
        run(export.check(other, path, SECRET))
    for number in range(4):
        asked = query(f"other{number}", 7)
        run(other.commit(asked, run(other.reserve(asked, LEASE_S))))
    before = path.read_bytes()
    with pytest.raises(StartError, match="line 1 differs from the ledger"):
        run(export.export(other, path, SECRET))
    assert path.read_bytes() == before
    other.close()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE entries SET account = 'b' WHERE id = 3", "line 3 differs"),
        ("DELETE FROM entries WHERE id = 3", "line 3 differs"),
        ("DELETE FROM entries WHERE id > 6", "line 7 is no longer"),
    ],
)
def test_a_ledger_that_was_altered_differs_from_its_export(tmp_path, run, path, statement, fault):
    ledger = SqliteLedger(tmp_path / "ledger.sqlite", PATIENT_S)
    for number in range(4):
        asked = query(f"q{number}", 7)
        run(ledger.commit(asked, run(ledger.reserve(asked, LEASE_S))))
    run(export.export(ledger, path, SECRET))
    with contextlib.closing(sqlite3.connect(ledger.path)) as database, database:
        database.executescript(f"DROP TRIGGER entries_stay; DROP TRIGGER entries_keep; {statement}")
    with pytest.raises(StartError, match=fault):
        run(export.check(ledger, path, SECRET))
    with pytest.raises(StartError, match=fault):
        run(export.export(ledger, path, SECRET))
    ledger.close()


def test_an_export_goes_on_while_the_ledger_sells(ledger, run, path, check):
    rules = policies(key=None)

    async def sell(worker: int, done: asyncio.Event) -> None:
        number = 0
        while not done.is_set():
            number += 1
            asked = query(f"{worker}-{number}", 1, rules)
            await ledger.commit(asked, await ledger.reserve(asked, LEASE_S))

    async def work() -> int:
        done = asyncio.Event()
        sellers = [asyncio.create_task(sell(worker, done)) for worker in range(8)]
        added = 0
        for _ in range(5):
            await asyncio.sleep(0.1)
            added += (await export.export(ledger, path, SECRET)).added
            assert (await export.check(ledger, path, SECRET)).lines == added
        done.set()
        await asyncio.gather(*sellers)
        return added + (await export.export(ledger, path, SECRET)).added

    added = run(work())
    assert added > 100
    assert check().lines == added
    assert [json.loads(line)["id"] for line in lines(path)] == [
        entry.id for entry in run(ledger.entries(limit=added + 1))
    ]


def test_exports_of_more_than_a_page_are_whole(ledger, run, path, write, check, monkeypatch):
    monkeypatch.setattr(export.reconcile, "_PAGE", 7)
    monkeypatch.setattr(export, "_AT_ONCE", 5)

    async def sell() -> None:
        for number in range(15):
            await ledger.note_audit(query(f"q{number}"))

    run(sell())
    assert write() == export.Exported(0, 15)
    run(sell())
    assert write() == export.Exported(15, 15)
    assert check() == export.Checked(30, 0)


def test_two_exports_do_not_write_one_file(path, write):
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StartError, match="another export writes it"):
            write()
    write()


def test_a_file_that_cannot_be_had_is_named(ledger, run, tmp_path):
    with pytest.raises(StartError, match="Name a file that can be written"):
        run(export.export(ledger, tmp_path / "none" / "export.jsonl", SECRET))
    with pytest.raises(StartError, match="Name an export of this ledger"):
        run(export.check(ledger, tmp_path / "none.jsonl", SECRET))
