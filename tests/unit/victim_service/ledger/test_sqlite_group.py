"""Queries that share a transaction of the SQLite ledger, against the same ones in turn."""

import asyncio
import contextlib
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.torture import TORTURE
from tests.unit.victim_service.ledger.asking import LEASE_S, PATIENT_S, paced, policies, query
from victim_service.errors import Refusal
from victim_service.ledger.base import Budget, Grant, Query, Rate
from victim_service.ledger.sqlite import SqliteLedger

Step = Callable[[SqliteLedger], Coroutine[Any, Any, Any]]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    store = SqliteLedger(tmp_path / "ledger.sqlite", timeout_s=PATIENT_S)
    yield store
    store.close()


@pytest.fixture
def together(ledger, run):
    return lambda *steps: run(in_one_transaction(ledger, steps))


async def in_one_transaction(ledger: SqliteLedger, steps: tuple[Step, ...]) -> list[Any]:
    """Take ``steps`` in one transaction; return each one's outcome, Refusals included."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        begun.set()
        go_on.wait(PATIENT_S)

    held = ledger._writer.submit(hold)
    await asyncio.to_thread(begun.wait, PATIENT_S)
    taken = [asyncio.ensure_future(step(ledger)) for step in steps]
    await asyncio.sleep(0)  # each hands its step in
    assert ledger._writer._waiting.qsize() == len(steps)
    go_on.set()
    await held
    return await asyncio.gather(*taken, return_exceptions=True)


async def in_turn(ledger: SqliteLedger, steps: tuple[Step, ...]) -> list[Any]:
    return [(await asyncio.gather(step(ledger), return_exceptions=True))[0] for step in steps]


def reserve(asked: Query, lease_s: float = LEASE_S) -> Step:
    return lambda ledger: ledger.reserve(asked, lease_s)


def commit(asked: Query, grant: Grant) -> Step:
    return lambda ledger: ledger.commit(asked, grant)


def release(asked: Query, grant: Grant) -> Step:
    return lambda ledger: ledger.release(asked, grant)


def kinds(ledger: SqliteLedger, run: Any) -> list[tuple[str, str]]:
    return [(entry.kind, entry.idempotency) for entry in run(ledger.entries())]


def kept(path: Path) -> dict[str, list[Any]]:
    """Return what is kept, without what differs from one try to the next: tokens and times."""
    columns = {
        "queries": "account, idempotency, payload, clips, state, key_id, plan, subjects,"
        " plan_version, model, defence_state",
        "counters": "*",
        "rates": "subject, arrival_s > 0",
        "entries": "id, kind, account, key_id, plan, plan_version, idempotency, clips, delta",
        "usage": "account, key_id, plan, spent, queries, audited",
        "accounts": "*",
    }
    with contextlib.closing(sqlite3.connect(path)) as database:
        return {
            table: database.execute(f"SELECT {names} FROM {table}").fetchall()  # noqa: S608
            for table, names in columns.items()
        }


def write(ledger: SqliteLedger, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(ledger.path)) as database, database:
        database.execute(statement)


def test_of_two_of_which_one_fits_the_first_is_granted(ledger, run, together):
    rules = policies(key=10)
    first, second = together(reserve(query("one", 7, rules)), reserve(query("two", 4, rules)))
    assert (first.charged, first.standing.remaining) == (7, 3)
    assert (second.code, second.remaining, second.standing.spent) == ("budget-exhausted", 3, 7)
    assert kinds(ledger, run) == [("reserve", "one")]
    assert run(ledger.verify()) == []


def test_a_refusal_between_two_grants_leaves_nothing(ledger, run, together):
    rules = policies(key=10)
    one, two, three = (query(name, n, rules) for name, n in (("1", 6), ("2", 5), ("3", 4)))
    first, refused, last = together(reserve(one), reserve(two), reserve(three))
    assert (first.charged, refused.code, last.charged) == (6, "budget-exhausted", 4)
    assert [row[1] for row in kept(ledger.path)["queries"]] == ["1", "3"]
    assert (last.standing.spent, last.standing.remaining) == (10, 0)
    assert run(ledger.standing(rules)).spent == 10
    assert run(ledger.verify()) == []


def test_a_burst_is_shared(ledger, together):
    rules = paced(0.001, 4)
    names = ("one", "two", "three")
    first, second, third = together(*(reserve(query(name, 2, rules)) for name in names))
    assert (first.standing.rate_remaining, second.standing.rate_remaining) == (2, 0)
    assert (third.code, len(kept(ledger.path)["entries"])) == ("rate-limited", 2)


@pytest.mark.parametrize("lease_s", [LEASE_S, 0.0], ids=["running", "lease over"])
def test_a_key_is_charged_once(ledger, run, together, lease_s):
    asked = query(clips=7)
    first, *others = together(*[reserve(asked, lease_s)] * 3)
    assert first.charged == 7
    if lease_s:
        assert [other.code for other in others] == ["still-running"] * 2
    else:
        assert [(other.charged, other.replayed) for other in others] == [(7, False)] * 2
        assert [other.standing.spent for other in others] == [7, 7]
        assert len({first.token, *(other.token for other in others)}) == 3
        run(ledger.release(asked, others[0]))  # no longer the holder
        assert run(ledger.standing(policies())).spent == 7
        run(ledger.release(asked, others[1]))
        assert run(ledger.standing(policies())).spent == 0
    assert run(ledger.verify()) == []


def test_a_replay_follows_its_commit(ledger, run, together):
    asked = query(clips=7)
    grant = run(ledger.reserve(asked, LEASE_S))
    early, done, late = together(reserve(asked), commit(asked, grant), reserve(asked))
    assert (early.code, done) == ("still-running", None)
    assert (late.charged, late.replayed) == (0, True)
    assert [kind for kind, _ in kinds(ledger, run)] == ["reserve", "commit", "replay"]


def test_a_commit_just_before_or_behind_another_sale_decides_who_answers(ledger, run, together):
    asked, other = query(clips=7), query("other", 7)
    first, in_time = (run(ledger.reserve(one, 0.0)) for one in (asked, other))
    second, late, done, replay = together(
        reserve(asked), commit(asked, first), commit(other, in_time), reserve(other)
    )
    assert (second.charged, late.code) == (7, "deadline-passed")
    assert (done, replay.replayed) == (None, True)
    assert run(ledger.standing(policies())).spent == 14
    assert run(ledger.verify()) == []


def test_a_commit_of_another_answer_is_too_late(ledger, run, together):
    asked = query()
    grant = run(ledger.reserve(asked, 0.0))
    second, late = together(reserve(query(model="m2")), commit(asked, grant))
    assert (second.charged, late.code) == (1, "deadline-passed")
    (unknown,) = together(commit(query("never reserved"), grant))
    assert unknown.code == "deadline-passed"


def test_other_steps_keep_their_place(ledger, run, together):
    rules = policies(key=10)
    old, new = query("old", 6, rules), query("new", 5, rules)
    grant = run(ledger.reserve(old, LEASE_S))
    refused, _, before, granted, after = together(
        reserve(new),
        release(old, grant),
        lambda ledger: ledger.standing(rules),
        reserve(new),
        lambda ledger: ledger.standing(rules),
    )
    assert (refused.code, granted.charged) == ("budget-exhausted", 5)
    assert (before.spent, after.spent) == (0, 5)
    assert [kind for kind, _ in kinds(ledger, run)] == ["reserve", "release", "reserve"]


def test_a_state_counts_from_its_place_on(ledger, together):
    before, _, after = together(
        reserve(query("one")),
        lambda ledger: ledger.set_account_state("a", "watched"),
        reserve(query("two")),
    )
    assert (before.state, after.state) == ("", "watched")


def test_what_cannot_be_written_takes_no_other_with_it(ledger, run, together):
    bad = query("bad", 2**63, policies(key=None))
    first, failed, last = together(reserve(query("1", 3)), reserve(bad), reserve(query("3", 4)))
    assert (first.charged, failed.code, last.charged) == (3, "ledger-unreachable", 4)
    assert kinds(ledger, run) == [("reserve", "1"), ("reserve", "3")]
    assert run(ledger.verify()) == []


def test_a_statement_that_fails_fails_its_own_step(ledger, run, together):
    old = query("old", 2)
    grant = run(ledger.reserve(old, LEASE_S))
    write(
        ledger,
        "CREATE TRIGGER broken BEFORE INSERT ON entries WHEN new.kind = 'commit'"
        " BEGIN SELECT RAISE(ABORT, 'broken'); END",
    )
    granted, failed = together(reserve(query("new", 5)), commit(old, grant))
    assert (granted.charged, failed.code) == (5, "ledger-unreachable")
    assert [row[4] for row in kept(ledger.path)["queries"]] == [0, 0]
    assert run(ledger.verify()) == []


@pytest.mark.parametrize("table", ["queries", "counters", "rates", "entries"])
def test_a_file_that_fails_keeps_nothing_of_the_group(ledger, run, together, table):
    old = query("old", 2, paced(0.001, 50))
    grant = run(ledger.reserve(old, LEASE_S))
    before = kept(ledger.path)
    write(ledger, f"ALTER TABLE {table} RENAME TO away")
    outcomes = together(commit(old, grant), reserve(query("new", 5, paced(0.001, 50))))
    assert [outcome.code for outcome in outcomes] == ["ledger-unreachable"] * 2
    write(ledger, f"ALTER TABLE away RENAME TO {table}")
    assert kept(ledger.path) == before
    assert together(commit(old, grant)) == [None]  # it comes back without a restart


def test_a_whole_group_of_strangers_is_granted(ledger, run, together):
    def stranger(number: int) -> Query:
        owner = f"account:{number}"
        rules = (Budget(f"key:{number}", 9), Budget(owner, None), Budget("global", None))
        rules += (Rate(owner, 1.0, 50), Rate(f"key:{number}", 1.0, 50))
        return Query(str(number), str(number), "soft", "q", b"payload", 9, rules)

    grants = together(*(reserve(stranger(number)) for number in range(255)))
    assert {grant.charged for grant in grants} == {9}
    replays = together(*(commit(stranger(n), grant) for n, grant in enumerate(grants)))
    assert replays == [None] * 255
    assert run(ledger.totals()).spent["global"] == 255 * 9
    assert run(ledger.verify()) == []


NAMES, RULES = ("q1", "q2", "q3"), (policies(key=12), policies(total=15), paced(0.001, 9, key=14))
QUERIES = st.builds(
    query,
    st.sampled_from(NAMES),
    st.sampled_from((2, 5)),
    st.sampled_from(RULES),
    payload=st.sampled_from((b"payload", b"payload", b"other")),
    version=st.sampled_from((1, 2)),
    model=st.sampled_from(("m1", "m1", "m2")),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("reserve", "reserve", "commit", "commit", "release", "abandon", "state")),
        QUERIES,
        st.sampled_from((0.0, LEASE_S)),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=500 if TORTURE else 20, deadline=None, database=None)
@given(earlier=STEPS, steps=STEPS)
def test_a_group_does_as_its_steps_in_turn(earlier, steps):
    """The grants that are committed come from ``earlier``, which both ledgers take in turn."""
    seen = []
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        for name, take in (("together", in_one_transaction), ("in turn", in_turn)):
            ledger = SqliteLedger(Path(folder) / name, PATIENT_S)
            grants: dict[str, Grant] = {}
            for kind, asked, lease_s in earlier:
                step = step_of(kind, asked, lease_s, grants)
                (outcome,) = runner.run(in_turn(ledger, (step,)))
                if isinstance(outcome, Grant):
                    grants[asked.idempotency] = outcome
            taken = tuple(step_of(*step, grants) for step in steps)
            outcomes = runner.run(take(ledger, taken))
            assert runner.run(ledger.verify()) == []
            ledger.close()
            seen.append(([told(outcome) for outcome in outcomes], kept(ledger.path)))
    assert seen[0] == seen[1]


def step_of(kind: str, asked: Query, lease_s: float, grants: dict[str, Grant]) -> Step:
    grant = grants.get(asked.idempotency)
    if kind == "state":
        return lambda ledger: ledger.set_account_state("a", f"{asked.clips}")
    if kind == "reserve" or grant is None:
        return reserve(asked, lease_s)
    return lambda ledger: getattr(ledger, kind)(asked, grant)


def told(outcome: Any) -> Any:
    """Return what a caller is told, without times and tokens."""
    if isinstance(outcome, Grant):
        left = outcome.standing
        return (
            outcome.charged, outcome.replayed, outcome.plan_version, outcome.state,
            left.budget, left.spent, left.remaining, left.rate_remaining,
        )  # fmt: skip
    if isinstance(outcome, Refusal):
        return outcome.code, outcome.remaining
    assert outcome is None
    return None


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY])
@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "PRAGMA synchronous = FULL"])
def test_a_file_that_somebody_holds_or_mends_is_waited_for(
    tmp_path, run, monkeypatch, statement, code
):
    """As it is for a moment when two processes open it, or one was killed while it wrote."""
    ledger = SqliteLedger(tmp_path / "ledger.sqlite", 5.0)
    refusals = 3

    class Held(sqlite3.Connection):
        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            nonlocal refusals
            if sql == statement and refusals:
                refusals -= 1
                error = sqlite3.OperationalError("database is locked")
                error.sqlite_errorcode = code
                raise error
            return super().execute(sql, *rest)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, factory=Held, **k))
    try:
        run(ledger.ping())
    finally:
        ledger.close()
    assert refusals == 0
