"""What every ledger keeps beside queries: entries, keys, plans, states, claims, a clock."""

import time

import pytest

from tests.unit.victim_service.ledger.asking import LEASE_S, query
from victim_service.keys import issue
from victim_service.ledger.records import PlanRecord


def version_of(name: str, version: int, document: str = "{}") -> PlanRecord:
    return PlanRecord(name, version, document, source="file", at=0.0)


def test_entries_tell_the_whole_story_in_order(ledger, run, buy):
    buy(query("one", 7, version=2))
    buy(query("one", 7, version=3))
    run(ledger.reserve(query("two", 5), 0.0))
    run(ledger.reserve(query("two", 5), 0.0))
    run(ledger.reap(0.0))
    grant = run(ledger.reserve(query("three", 2), LEASE_S))
    run(ledger.release(query("three", 2), grant))
    run(ledger.note_audit(query("audit", 4, (), version=9)))
    told = run(ledger.entries())
    assert [(e.kind, e.idempotency, e.clips, e.delta, e.plan_version) for e in told] == [
        ("reserve", "one", 7, 7, 2),
        ("commit", "one", 7, 0, 2),
        ("replay", "one", 7, 0, 2),
        ("reserve", "two", 5, 5, 1),
        ("reap", "two", 5, -5, 1),
        ("reserve", "two", 5, 5, 1),
        ("reap", "two", 5, -5, 1),
        ("reserve", "three", 2, 2, 1),
        ("release", "three", 2, -2, 1),
        ("audit", "audit", 4, 0, 9),
    ]
    assert {(e.account, e.key_id, e.plan) for e in told} == {("a", "k", "soft")}
    assert [e.at for e in told] == sorted(e.at for e in told)
    assert abs(told[0].at - time.time()) < 60


def test_entries_come_in_pages(ledger, run, buy):
    for number in range(5):
        buy(query(f"q{number}"))
    everything = run(ledger.entries())
    assert len(everything) == 10
    first = run(ledger.entries(limit=4))
    assert first == everything[:4]
    assert run(ledger.entries(after=first[-1].id, limit=100)) == everything[4:]
    assert run(ledger.entries(after=everything[-1].id)) == []
    totals = run(ledger.totals())
    assert totals.last_entry == everything[-1].id
    assert totals.spent == {"key:k": 5, "account:a": 5, "global": 5}
    assert totals.usage == run(ledger.spend())


def test_an_empty_ledger_adds_up(ledger, run):
    totals = run(ledger.totals())
    assert (totals.spent, totals.usage, totals.last_entry) == ({}, [], "")
    assert run(ledger.verify()) == []
    assert run(ledger.entries()) == []


def test_everything_is_there_after_opening_again(ledger, run, open_one, buy):
    buy(query(clips=7))
    run(ledger.add_plan(version_of("soft", 1)))
    run(ledger.set_account_state("a", "state"))
    run(ledger.claim("secret", "one"))
    entries = run(ledger.entries())
    run(ledger.aclose())
    again = open_one()
    assert run(again.entries()) == entries
    assert run(again.reserve(query(clips=7), LEASE_S)).replayed
    assert run(again.plan("soft")).version == 1
    assert run(again.account_state("a")) == "state"
    assert run(again.claim("secret", "two")) == "one"


def test_keys_are_kept_listed_and_revoked(ledger, run):
    _, record = issue("alice", "soft", "query", budget=5)
    _, other = issue("bob", "hard", "admin")
    run(ledger.add_key(record))
    run(ledger.add_key(other))
    assert run(ledger.key(record.key_id)) == record
    assert run(ledger.key("unknown")) is None
    assert run(ledger.keys()) == [record, other]
    assert run(ledger.revoke_key(record.key_id))
    assert not run(ledger.revoke_key("unknown"))
    revoked = run(ledger.key(record.key_id))
    assert revoked.state == "revoked"
    assert abs(revoked.revoked_at - run(ledger.now())) < 60
    assert run(ledger.revoke_key(record.key_id))
    assert run(ledger.key(record.key_id)) == revoked


def test_a_key_expires_by_the_ledgers_clock(ledger, run):
    _, record = issue("alice", "soft", "query", expires_at=run(ledger.now()) + 0.3)
    run(ledger.add_key(record))
    assert run(ledger.key(record.key_id)).state == "valid"
    time.sleep(0.31)
    assert run(ledger.key(record.key_id)).state == "expired"
    assert [key.expired for key in run(ledger.keys())] == [True]


def test_plans_are_kept_in_versions(ledger, run):
    assert run(ledger.plan("soft")) is None
    assert run(ledger.add_plan(version_of("soft", 1, "one")))
    assert run(ledger.add_plan(version_of("soft", 2, "two")))
    assert run(ledger.add_plan(version_of("hard", 1, "three")))
    assert run(ledger.plan("soft")).document == "two"
    assert run(ledger.plan("soft", 1)).document == "one"
    assert run(ledger.plan("soft", 3)) is None
    assert [(p.name, p.version) for p in run(ledger.plans())] == [("hard", 1), ("soft", 2)]
    assert [p.document for p in run(ledger.plan_history("soft"))] == ["one", "two"]
    assert run(ledger.plan_history("none")) == []
    assert abs(run(ledger.plan("soft")).at - run(ledger.now())) < 60


@pytest.mark.parametrize("version", [0, 1, 2, 4])
def test_a_version_must_follow_the_latest_by_one(ledger, run, kept, version):
    run(ledger.add_plan(version_of("soft", 1)))
    run(ledger.add_plan(version_of("soft", 2)))
    before = kept()
    assert not run(ledger.add_plan(version_of("soft", version, "other")))
    assert kept() == before


def test_the_first_claim_of_a_name_holds(ledger, run, open_one):
    assert run(ledger.claim("secret", "one")) == "one"
    assert run(ledger.claim("secret", "two")) == "one"
    assert run(open_one().claim("secret", "three")) == "one"
    assert run(ledger.claim("other", "two")) == "two"


def test_the_state_of_an_account_is_its_latest(ledger, run, open_one):
    assert run(ledger.account_state("a")) == ""
    run(ledger.set_account_state("a", "one"))
    run(open_one().set_account_state("a", "two"))
    assert run(ledger.account_state("a")) == "two"
    assert run(ledger.account_state("b")) == ""


def test_the_ledger_answers_that_it_can_be_written(ledger, run):
    run(ledger.ping())
