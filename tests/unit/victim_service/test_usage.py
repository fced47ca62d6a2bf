"""The sums of accounts: budgets that bind one another, money, and keys that open nothing."""

import dataclasses

import pytest

from victim_service.keys import issue
from victim_service.ledger.records import AccountSpend, PlanRecord
from victim_service.plans import Plan
from victim_service.usage import account_usages, key_info, readable_plans

PLANS = {
    "soft": Plan(name="soft", label_mode="soft", budget=100, price_per_clip=0.5),
    "free": Plan(name="free", label_mode="hard"),
    "family": Plan(name="family", label_mode="hard", budget=100, account_budget=120),
}


def record(account="alice", plan="soft", scope="query", **options):
    return issue(account, plan, scope, **options)[1]


def spend(key, spent, *, queries=1, audited=0, last_at=50.0, plan=None):
    return AccountSpend(key.account, key.key_id, plan or key.plan, spent, queries, audited, last_at)


def usage(keys, spends=(), *, global_budget=None, plans=PLANS):
    return account_usages(keys, list(spends), plans, global_budget)


def test_a_key_never_used_has_its_whole_budget():
    (alice,) = usage([record()])
    assert (alice.spent, alice.cost, alice.budget, alice.remaining) == (0, 0, 100, 100)
    assert alice.last_at is None


def test_keys_of_an_account_add_up_and_accounts_are_apart():
    first, second, other = record(budget=30), record(plan="family"), record("bob")
    spends = [
        spend(first, 10, queries=2, last_at=70),
        spend(second, 5, last_at=60),
        spend(other, 7),
    ]
    alice, bob = usage([other, first, second], spends)
    assert (alice.spent, alice.queries, alice.cost, alice.last_at) == (15, 3, 5.0, 70)
    assert (alice.budget, alice.remaining) == (130, 115)
    assert [key.remaining for key in alice.keys] == [20, 95]
    assert (bob.account, bob.spent, bob.remaining) == ("bob", 7, 93)


def test_an_account_budget_binds_all_its_keys():
    first, second = record(plan="family"), record(plan="family")
    (alice,) = usage([first, second], [spend(first, 90), spend(second, 20)])
    assert (alice.budget, alice.remaining) == (120, 10)
    assert [key.remaining for key in alice.keys] == [10, 10]


def test_the_global_budget_binds_everybody():
    alice, bob = record(plan="free"), record("bob")
    one, two = usage([alice, bob], [spend(alice, 40), spend(bob, 20)], global_budget=75)
    assert (one.budget, one.remaining) == (None, 15)
    assert (two.budget, two.remaining) == (100, 15)
    overdrawn, _ = usage([alice, bob], [spend(alice, 40)], global_budget=10)
    assert overdrawn.remaining == 0


def test_no_limit_is_told_as_such():
    (alice,) = usage([record(plan="free"), record()])
    assert (alice.budget, alice.remaining) == (None, None)


@pytest.mark.parametrize("over", [{"revoked_at": 1.0}, {"expired": True}])
def test_a_key_that_opens_nothing_has_nothing_left_and_its_spend_stays(over):
    key = dataclasses.replace(record(), **over)
    (alice,) = usage([key], [spend(key, 60)])
    assert (alice.spent, alice.cost, alice.budget, alice.remaining) == (60, 30, 0, 0)
    assert alice.keys[0].remaining == 0
    (both,) = usage([key, record("alice")], [spend(key, 60)])
    assert (both.spent, both.budget, both.remaining) == (60, 100, 100)


def test_audit_and_admin_keys_have_no_budget():
    audit, admin = record("lab", "audit", "audit"), record("lab", "admin", "admin")
    (lab,) = usage([audit, admin], [spend(audit, 0, audited=500)])
    assert (lab.audited, lab.spent, lab.budget, lab.remaining) == (500, 0, None, None)


def test_a_shrunk_budget_leaves_nothing_rather_than_less():
    key = record(budget=10)
    (alice,) = usage([key], [spend(key, 25)])
    assert alice.remaining == 0


def test_a_plan_that_cannot_be_read_costs_nothing_and_hides_nothing():
    records = [
        PlanRecord("soft", 1, PLANS["soft"].model_dump_json(), "file", 0.0),
        PlanRecord("later", 1, '{"name": "later", "label_mode": "telepathy"}', "file", 0.0),
        PlanRecord("broken", 1, "{", "file", 0.0),
    ]
    plans = readable_plans(records)
    assert plans == {"soft": PLANS["soft"]}
    key = record(plan="later")
    (alice,) = usage([key], [spend(key, 3)], plans=plans)
    assert (alice.spent, alice.cost, alice.budget) == (3, 0, None)


def test_what_is_told_of_a_key_opens_nothing():
    key, kept = issue("alice", "soft", "query")
    text = key_info(kept).model_dump_json()
    assert kept.key_id in text
    assert key.split("_")[2] not in text
    assert kept.digest.hex() not in text
