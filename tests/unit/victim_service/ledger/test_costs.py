"""Costs that are not one unit a clip, and what is given back when an answer was cheaper."""

import asyncio
import sqlite3
from dataclasses import replace

import pytest

from tests.unit.victim_service.ledger.asking import LEASE_S, paced, policies, query
from victim_service.errors import Refusal
from victim_service.ledger import sqlite_schema
from victim_service.ledger.base import GLOBAL_SUBJECT
from victim_service.ledger.sqlite import SqliteLedger

RULES = policies(key=20, account=30, total=40)


@pytest.fixture
def reserve(ledger, run):
    return lambda asked, lease_s=LEASE_S: run(ledger.reserve(asked, lease_s))


@pytest.fixture
def facts(ledger, run):
    """The counters, the lines of the entries, and usage by key, once they were verified."""

    def tell():
        assert run(ledger.verify()) == []
        totals = run(ledger.totals())
        lines = [(entry.kind, entry.clips, entry.delta) for entry in run(ledger.entries())]
        usage = {row.key_id: (row.spent, row.queries) for row in totals.usage}
        return totals.spent, lines, usage

    return tell


def test_a_cost_is_charged_to_every_budget_and_the_rate_counts_clips(run, ledger, reserve, facts):
    asked = query(clips=3, rules=paced(0.001, 10, key=20), cost=12)
    grant = reserve(asked)
    assert (grant.charged, grant.standing.spent, grant.standing.remaining) == (12, 12, 8)
    assert grant.standing.rate_remaining == 7
    run(ledger.commit(asked, grant))
    spent, lines, usage = facts()
    assert spent == {"key:k": 12, "account:a": 12, GLOBAL_SUBJECT: 12}
    assert lines == [("reserve", 3, 12), ("commit", 3, 0)]
    assert usage == {"k": (12, 1)}
    assert reserve(asked).charged == 0


def test_a_cost_beyond_the_budget_is_refused_though_its_clips_would_fit(refusal):
    assert refusal(query(clips=1, rules=RULES, cost=21)).remaining == 20


@pytest.mark.parametrize(
    ("settled", "back"), [(None, 0), (12, 0), (99, 0), (5, 7), (0, 12)], ids=str
)
def test_commit_gives_back_what_was_reserved_beyond_the_cost(
    run, ledger, reserve, facts, settled, back
):
    asked = query(clips=3, rules=RULES, cost=12)
    grant = reserve(asked)
    for _ in range(3):  # again, as after an answer that was lost: once is as often
        run(ledger.commit(asked, grant, settled))
    run(ledger.commit(asked, grant, 1))  # whoever settles first has settled
    spent, lines, usage = facts()
    assert set(spent.values()) == {12 - back}
    assert lines == [("reserve", 3, 12), ("commit", 3, -back)]
    assert usage == {"k": (12 - back, 1)}
    assert run(ledger.standing(RULES)).remaining == 20 - (12 - back)


@pytest.mark.parametrize("way", ["release", "reap"])
def test_what_ends_without_an_answer_gives_back_what_it_had_cost(run, ledger, reserve, facts, way):
    asked = query(clips=3, rules=RULES, cost=12)
    grant = reserve(asked, 0.0)
    if way == "release":
        run(ledger.release(asked, grant))
    else:
        run(asyncio.sleep(0.003))
        assert run(ledger.reap(0.0)) == 1
    spent, lines, usage = facts()
    assert set(spent.values()) == {0}
    assert lines[1:] == [(way, 3, -12)]
    assert usage == {"k": (0, 0)}
    with pytest.raises(Refusal):
        run(ledger.commit(asked, grant, 5))
    dearer = replace(asked, cost=15)  # bought anew, at the price of today
    run(ledger.commit(dearer, reserve(dearer), 14))
    assert set(facts()[0].values()) == {14}


@pytest.mark.parametrize("cost", [3, 12, 19])
def test_another_key_that_buys_anew_pays_all_and_the_first_gets_all_back(
    run, ledger, reserve, facts, cost
):
    asked = query(clips=3, rules=RULES, cost=12)
    first = reserve(asked, 0.0)
    again = query(clips=3, rules=policies(key_id="k2"), cost=cost, key_id="k2")
    second = reserve(again)
    assert (second.charged, second.standing.spent) == (cost, cost)
    with pytest.raises(Refusal, match="deadline-passed"):
        run(ledger.commit(asked, first, 2))
    run(ledger.commit(again, second, 4))
    spent, lines, usage = facts()
    paid = min(4, cost)
    assert spent == {"key:k": 0, "key:k2": paid, "account:a": paid, GLOBAL_SUBJECT: paid}
    assert lines == [
        ("reserve", 3, 12), ("reap", 3, -12), ("reserve", 3, cost), ("commit", 3, paid - cost)
    ]  # fmt: skip
    assert usage == {"k": (0, 0), "k2": (paid, 1)}


def test_many_that_settle_at_once_leave_exact_counters(run, ledger, facts):
    rules = policies(key=None)

    async def one(number):
        asked = query(f"q{number}", 2, rules, cost=8)
        grant = await ledger.reserve(asked, LEASE_S)
        await asyncio.gather(*(ledger.commit(asked, grant, number % 10) for _ in range(2)))

    async def all_of_them():
        await asyncio.gather(*map(one, range(40)))

    run(all_of_them())
    spent, _, usage = facts()
    expected = sum(min(8, number % 10) for number in range(40))
    assert set(spent.values()) == {expected}
    assert usage == {"k": (expected, 40)}


def test_a_query_for_nothing_is_sold_though_nothing_remains(buy, run, ledger, facts):
    assert buy(query("first", 1, policies(key=1))) == 1
    assert buy(query("free", 5, policies(key=1), cost=0)) == 0
    assert run(ledger.reserve(query("free", 5, policies(key=1), cost=0), LEASE_S)).replayed
    assert facts()[0]["key:k"] == 1


def test_a_negative_cost_is_a_fault_of_the_caller(run, ledger, reserve, facts):
    with pytest.raises(ValueError, match="cannot cost -1"):
        query(cost=-1)
    asked = query(rules=RULES)
    grant = reserve(asked)
    with pytest.raises(ValueError, match="Settle it at 0 or more"):
        run(ledger.commit(asked, grant, -1))
    run(ledger.commit(asked, grant))
    assert set(facts()[0].values()) == {1}


def test_a_running_query_of_an_older_file_gives_its_clips_back(tmp_path, run, monkeypatch):
    """What was reserved before costs were kept cost one unit a clip."""
    path = tmp_path / "old.sqlite"
    asked = query(clips=3, rules=RULES)

    async def story():
        ledger = SqliteLedger(path, 20)
        try:
            held = await ledger.reserve(asked, LEASE_S)
            kept = await ledger.reserve(replace(asked, idempotency="kept"), LEASE_S)
            anew = await ledger.reserve(replace(asked, idempotency="anew"), LEASE_S)
            with sqlite3.connect(path) as database:
                database.execute("UPDATE queries SET cost = NULL")
            await ledger.release(asked, held)
            await ledger.commit(replace(asked, idempotency="kept"), kept, 1)
            await ledger.abandon(replace(asked, idempotency="anew"), anew)
            bought = await ledger.reserve(replace(asked, idempotency="anew", cost=9), LEASE_S)
            await ledger.commit(replace(asked, idempotency="anew"), bought, 2)
            return await ledger.verify(), (await ledger.standing(RULES)).spent
        finally:
            await ledger.aclose()

    assert sqlite_schema.VERSION >= 3
    assert run(story()) == ([], 3)
