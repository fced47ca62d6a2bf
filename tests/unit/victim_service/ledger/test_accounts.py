"""What every ledger keeps of accounts: a memory that is compared and swapped, and notes."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from tests.unit.victim_service.ledger.asking import LEASE_S, query
from victim_service.ledger import base, open_ledger, sqlite_schema
from victim_service.ledger.records import Note, Watched

MEMORY = bytes(range(256)) * 3
"""With zeros, line ends and what is no UTF-8."""


def reading(text: str) -> Note:
    return Note("reading", text)


def step(text: str) -> Note:
    return Note("step", text)


def test_an_account_that_nobody_watched_is_empty(ledger, run):
    assert run(ledger.watched("a")) == Watched(0, b"", "")
    assert run(ledger.notes("a")) == []
    assert run(ledger.account_states()) == {}


def test_memory_state_and_notes_change_together(ledger, run, open_one):
    assert run(ledger.keep_watched("a", 0, MEMORY, "s1", [reading("r1"), step("t1")]))
    found = run(open_one().watched("a"))
    assert (found.memory, found.state) == (MEMORY, "s1")
    assert run(ledger.account_state("a")) == "s1"
    assert run(ledger.keep_watched("a", found.version, b"", "", [reading("r2")]))
    again = run(ledger.watched("a"))
    assert (again.memory, again.state) == (b"", "")
    assert again.version > found.version
    told = run(ledger.notes("a"))
    assert [(note.kind, note.text) for note in told] == [
        ("reading", "r1"),
        ("step", "t1"),
        ("reading", "r2"),
    ]
    assert run(ledger.watched("b")) == Watched(0, b"", "")
    assert run(ledger.account_states()) == {"a": ""}


@pytest.mark.parametrize("off", [-1, 1, 7])
def test_a_conflict_changes_nothing(ledger, run, kept, off):
    run(ledger.keep_watched("a", 0, b"one", "s1", [step("t1")]))
    version = run(ledger.watched("a")).version
    before = kept()
    assert not run(ledger.keep_watched("a", version + off, b"two", "s2", [step("t2")]))
    assert not run(ledger.keep_watched("b", off, b"two", "s2", [step("t2")]))
    assert kept() == before


def test_one_of_many_at_once_wins(ledger, run, open_one):
    stores = [ledger, open_one(), open_one()]

    async def race(version: int) -> list[bool]:
        tries = [
            stores[number % 3].keep_watched("a", version, b"%d" % number, "s", [step(str(number))])
            for number in range(30)
        ]
        return await asyncio.gather(*tries)

    for round_number in range(1, 4):
        version = run(ledger.watched("a")).version
        won = [number for number, done in enumerate(run(race(version))) if done]
        assert len(won) == 1
        assert run(ledger.watched("a")).memory == b"%d" % won[0]
        notes = run(ledger.notes("a"))
        assert len(notes) == round_number
        assert notes[-1].text == str(won[0])


def test_increments_by_compare_and_swap_are_all_counted(ledger, run, open_one):
    stores = [ledger, open_one()]

    async def add(store: base.Ledger) -> None:
        for _ in range(200):
            found = await store.watched("a")
            count = int(found.state or 0) + 1
            if await store.keep_watched("a", found.version, b"", str(count)):
                return
        raise AssertionError("never won")

    async def all_of_them() -> None:
        await asyncio.gather(*(add(stores[number % 2]) for number in range(20)))

    run(all_of_them())
    assert run(ledger.account_state("a")) == "20"


def test_a_state_that_is_set_is_a_conflict_to_who_read_before(ledger, run):
    run(ledger.keep_watched("a", 0, MEMORY, "s1"))
    version = run(ledger.watched("a")).version
    run(ledger.set_account_state("a", "by hand"))
    assert not run(ledger.keep_watched("a", version, b"", "s2"))
    found = run(ledger.watched("a"))
    assert (found.memory, found.state) == (MEMORY, "by hand")
    assert run(ledger.keep_watched("a", found.version, b"", "s3"))


def test_a_reservation_is_made_under_the_kept_state(ledger, run):
    run(ledger.keep_watched("a", 0, b"", "s1"))
    first = run(ledger.reserve(query("q"), LEASE_S))
    run(ledger.keep_watched("a", run(ledger.watched("a")).version, b"", "s2"))
    run(ledger.commit(query("q"), first))
    assert first.state == run(ledger.reserve(query("q"), LEASE_S)).state == "s1"
    assert run(ledger.reserve(query("other"), LEASE_S)).state == "s2"


def test_notes_come_in_pages_and_from_the_end(ledger, run):
    for number in range(6):
        note = step(f"{number}") if number % 3 == 0 else reading(f"{number}")
        run(ledger.keep_watched("a", run(ledger.watched("a")).version, b"", "", [note]))
    run(ledger.keep_watched("b", 0, b"", "", [step("other")]))
    everything = run(ledger.notes("a"))
    assert [note.text for note in everything] == list("012345")
    assert abs(everything[-1].at - run(ledger.now())) < 60
    first = run(ledger.notes("a", limit=4))
    assert first == everything[:4]
    assert run(ledger.notes("a", after=first[-1].id)) == everything[4:]
    assert run(ledger.notes("a", after=everything[-1].id)) == []
    assert [note.text for note in run(ledger.notes("a", "step"))] == ["0", "3"]
    assert [note.text for note in run(ledger.notes("a", "reading", limit=3))] == ["1", "2", "4"]
    assert run(ledger.notes("a", limit=3, latest=True)) == everything[3:]
    latest = run(ledger.notes("a", "reading", after=everything[1].id, limit=2, latest=True))
    assert [note.text for note in latest] == ["4", "5"]


def test_readings_are_trimmed_and_steps_never(ledger, run, monkeypatch):
    for module in ("sqlite_accounts", "redis_accounts"):
        monkeypatch.setattr(f"victim_service.ledger.{module}.KEPT_READINGS", 3)
    for number in range(8):
        notes = [step(f"s{number}"), reading(f"r{number}")]
        version = run(ledger.watched("a")).version
        assert run(ledger.keep_watched("a", version, b"", "", notes))
    assert [note.text for note in run(ledger.notes("a", "reading"))] == ["r5", "r6", "r7"]
    assert [note.text for note in run(ledger.notes("a", "step"))] == [f"s{n}" for n in range(8)]


def test_all_of_it_is_there_after_opening_again(ledger, run, open_one):
    run(ledger.keep_watched("a", 0, MEMORY, "s1", [reading("r"), step("t")]))
    before = run(ledger.watched("a")), run(ledger.notes("a"))
    run(ledger.aclose())
    again = open_one()
    assert (run(again.watched("a")), run(again.notes("a"))) == before
    assert run(again.keep_watched("a", before[0].version, b"", ""))


def test_a_ledger_of_version_2_keeps_its_states(tmp_path, run, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        monkeypatch.setattr(sqlite_schema, "VERSION", 2)
        monkeypatch.setattr(sqlite_schema, "_STEPS", sqlite_schema._STEPS[:2])
        sqlite_schema.create(database)
        database.execute("INSERT INTO accounts VALUES ('a', 'old state')")
        monkeypatch.undo()
    ledger = open_ledger(f"sqlite:///{path}")
    found = run(ledger.watched("a"))
    assert (found.memory, found.state) == (b"", "old state")
    assert run(ledger.keep_watched("a", found.version, MEMORY, "new", [step("t")]))
    assert run(ledger.watched("a")).memory == MEMORY
    run(ledger.aclose())


@pytest.mark.parametrize(
    "statement", ["UPDATE notes SET text = ''", "DELETE FROM notes WHERE kind = 'step'"]
)
def test_steps_in_the_file_cannot_be_changed(tmp_path, run, statement):
    path = tmp_path / "ledger.sqlite"
    ledger = open_ledger(f"sqlite:///{path}")
    run(ledger.keep_watched("a", 0, b"", "", [step("t")]))
    run(ledger.aclose())
    with (
        closing(sqlite3.connect(path)) as database,
        pytest.raises(sqlite3.IntegrityError, match=r"never change|append-only"),
    ):
        database.execute(statement)
