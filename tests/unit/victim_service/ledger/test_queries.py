"""Semantics of a query in every ledger, one caller at a time."""

import asyncio
import time

import pytest

from tests.unit.victim_service.ledger.asking import LEASE_S, paced, policies, query
from victim_service.errors import Refusal
from victim_service.ledger.base import Budget, Query, Rate, daily


@pytest.fixture
def spent(ledger, run):
    return lambda rules=None: run(ledger.standing(policies() if rules is None else rules)).spent


@pytest.mark.parametrize("clips", [1, 7])
def test_a_query_is_charged_once_and_its_replay_is_free(ledger, run, buy, spent, clips):
    assert buy(query(clips=clips)) == clips
    replay = run(ledger.reserve(query(clips=clips), LEASE_S))
    assert (replay.charged, replay.replayed) == (0, True)
    assert buy(query(clips=clips)) == 0
    assert spent() == clips


def test_the_last_clip_of_a_budget_is_sold_and_not_one_more(buy, refusal, spent):
    rules = policies(key=10)
    assert buy(query("first", 7, rules)) == 7
    refused = refusal(query("second", 4, rules))
    assert (refused.code, refused.remaining, refused.retry_after_s) == ("budget-exhausted", 3, None)
    assert buy(query("third", 3, rules)) == 3
    assert refusal(query("fourth", 1, rules)).remaining == 0
    assert spent(rules) == 10


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (policies(key=7), "budget-exhausted"),
        (policies(account=7), "budget-exhausted"),
        (policies(total=7), "budget-exhausted"),
        (paced(1.0, 4), "batch-exceeds-burst"),
        (paced(0.001, 7), "rate-limited"),
        ((*paced(1e6, 1000), Rate("account:a", 0.001, 7)), "rate-limited"),
    ],
    ids=["key", "account", "global", "burst", "rate", "second rate"],
)
def test_one_policy_that_refuses_leaves_every_byte_as_it_was(buy, refusal, kept, rules, code):
    buy(query("before", 3, rules))
    before = kept()
    assert refusal(query("refused", 5, rules)).code == code
    assert kept() == before
    if code == "budget-exhausted":
        assert buy(query("fits", 4, rules)) == 4


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (policies(key=7, account=70), "costs 5 units, and 4 remain of the key's budget of 7. Send"),
        (policies(account=7), "and 4 remain of the account's budget of 7. Send"),
        (policies(total=7), "and 4 remain of the service's budget of 7. Send"),
        (paced(1.0, 4), "holds 5 clips and the burst is 4. Send less."),
        ((*paced(9.0, 100), daily("key:k", 4)), "holds 5 clips and the daily budget is 4. Send"),
        ((*paced(9.0, 3), daily("key:k", 4)), "holds 5 clips and the burst is 3. Send less."),
        (paced(0.001, 7), "the rate of 0.001 clips/s with a burst of 7 has no room yet. Wait"),
        ((*paced(9.0, 7), daily("key:k", 7)), "the daily budget of 7 clips has no room yet. Wait"),
        ((*paced(1e-5, 7), daily("key:k", 7)), "the rate of 1e-05 clips/s with a burst of 7 has"),
    ],
    ids=["key", "account", "global", "burst", "day", "both", "rate", "daily", "slowest"],
)
def test_a_refusal_names_the_policy_and_its_number(buy, refusal, rules, told):
    if "holds 5" not in told:
        buy(query("before", 3, rules))
    assert told in refusal(query("refused", 5, rules)).detail


def test_no_other_refusal_writes_anything_either(ledger, run, buy, refusal, kept):
    buy(query("answered"))
    run(ledger.reserve(query("running"), LEASE_S))
    before = kept()
    assert refusal(query("answered", payload=b"other")).code == "key-reused"
    assert refusal(query("answered", model="m2")).code == "key-reused"
    assert refusal(query("answered", plan="hard")).code == "key-reused"
    assert refusal(query("running")).code == "still-running"
    assert kept() == before


def test_other_bytes_under_a_used_key_are_refused(ledger, run, buy, refusal):
    buy(query())
    assert refusal(query(payload=b"other")).code == "key-reused"
    assert refusal(query(clips=2)).code == "key-reused"
    run(ledger.reserve(query("running"), 0.0))
    assert refusal(query("running", payload=b"other")).code == "key-reused"


def test_keys_of_different_accounts_do_not_meet(ledger, run, buy):
    buy(query())
    stranger = Query("b", "k2", "soft", "q", b"other", 1, (Budget("key:k2", 5),))
    assert run(ledger.reserve(stranger, LEASE_S)).charged == 1


def test_a_cheaper_plan_never_pays_for_a_dearer_one(ledger, run, buy, refusal, kept, spent):
    hard, soft = query(clips=5, plan="hard"), query(clips=5, cost=15)
    buy(hard)
    before = kept()
    assert refusal(soft).code == "key-reused"
    assert kept() == before
    unanswered = query("unanswered", 5, plan="hard")
    late = run(ledger.reserve(unanswered, LEASE_S))
    run(ledger.abandon(unanswered, late))
    assert buy(query("unanswered", 5, cost=15)) == 15
    with pytest.raises(Refusal, match="deadline-passed"):
        run(ledger.commit(unanswered, late))
    assert spent() == 5 + 15


def test_a_running_query_is_refused_until_its_lease_is_over_and_then_bought_anew(
    ledger, run, buy, refusal, spent
):
    run(ledger.reserve(query(clips=7), 0.3))
    refused = refusal(query(clips=7))
    assert refused.code == "still-running"
    assert 0 < refused.retry_after_s <= 0.302
    time.sleep(refused.retry_after_s)
    assert buy(query(clips=7)) == 7
    assert spent() == 7
    assert run(ledger.verify()) == []


def test_a_release_gives_the_clips_back_and_a_retry_pays_again(ledger, run, buy, spent):
    grant = run(ledger.reserve(query(clips=7), LEASE_S))
    run(ledger.release(query(clips=7), grant))
    run(ledger.release(query(clips=7), grant))
    assert spent() == 0
    assert buy(query(clips=7)) == 7
    assert spent() == 7


def test_a_released_query_is_as_new(ledger, run, buy, refusal):
    grant = run(ledger.reserve(query(clips=7), LEASE_S))
    run(ledger.release(query(clips=7), grant))
    assert refusal(query(clips=7, payload=b"other")).code == "key-reused"
    again = query(clips=7, plan="hard", version=3, model="m2")
    assert buy(again) == 7
    replay = run(ledger.reserve(again, LEASE_S))
    assert (replay.replayed, replay.plan_version) == (True, 3)
    assert run(ledger.verify()) == []


def test_only_the_holder_of_the_lease_may_release_or_abandon(ledger, run, refusal, spent):
    late = run(ledger.reserve(query(clips=7), 0.0))
    holder = run(ledger.reserve(query(clips=7), LEASE_S))
    run(ledger.release(query(clips=7), late))
    run(ledger.abandon(query(clips=7), late))
    assert refusal(query(clips=7)).code == "still-running"
    run(ledger.commit(query(clips=7), holder))
    run(ledger.release(query(clips=7), holder))
    assert spent() == 7


def test_an_abandoned_query_stays_charged_until_it_is_bought_anew(ledger, run, refusal, spent):
    grant = run(ledger.reserve(query(clips=7), LEASE_S))
    run(ledger.abandon(query(clips=7), grant))
    assert spent() == 7
    again = run(ledger.reserve(query(clips=7), LEASE_S))
    assert (again.charged, again.replayed) == (7, False)
    assert (again.standing.spent, again.standing.remaining) == (7, 93)
    assert again.token != grant.token
    assert spent() == 7
    assert refusal(query(clips=7)).code == "still-running"


def test_the_reaper_releases_what_was_never_committed_and_nothing_else(ledger, run, buy, spent):
    buy(query("committed", 3))
    run(ledger.reserve(query("abandoned", 7), 0.0))
    run(ledger.reserve(query("running", 5), LEASE_S))
    assert run(ledger.reap(60.0)) == 0
    assert run(ledger.reap(0.0)) == 1
    assert run(ledger.reap(0.0)) == 0
    assert spent() == 8
    assert buy(query("abandoned", 7)) == 7


def test_the_reaper_gets_through_a_heap(ledger, run, spent):
    async def abandon_many() -> None:
        for number in range(600):
            await ledger.reserve(query(f"q{number}", 1, policies(key=None)), 0.0)

    run(abandon_many())
    assert run(ledger.reap(0.0)) == 600
    assert spent() == 0
    assert run(ledger.verify()) == []


def test_an_answer_never_leaves_for_a_reaped_reservation(ledger, run, spent):
    grant = run(ledger.reserve(query(), 0.0))
    run(ledger.reap(0.0))
    with pytest.raises(Refusal, match="deadline-passed"):
        run(ledger.commit(query(), grant))
    assert spent() == 0


def test_of_two_holders_the_one_who_paid_last_answers(ledger, run, spent):
    late = run(ledger.reserve(query(), 0.0))
    holder = run(ledger.reserve(query(), LEASE_S))
    with pytest.raises(Refusal, match="deadline-passed"):
        run(ledger.commit(query(), late))
    for _ in range(2):
        run(ledger.commit(query(), holder))
    with pytest.raises(Refusal, match="deadline-passed"):
        run(ledger.commit(query(), late))
    entries = [(entry.kind, entry.delta) for entry in run(ledger.entries())]
    assert entries == [("reserve", 1), ("reap", -1), ("reserve", 1), ("commit", 0)]
    assert spent() == 1


def test_a_holder_whose_lease_is_over_answers_while_nobody_else_has_bought(ledger, run, spent):
    late = run(ledger.reserve(query(), 0.0))
    run(ledger.commit(query(), late))
    assert run(ledger.reserve(query(), LEASE_S)).replayed
    assert spent() == 1


@pytest.mark.parametrize(("version", "state"), [(2, "s1"), (1, "s2")], ids=["version", "state"])
def test_a_late_answer_of_other_terms_never_leaves(ledger, run, version, state):
    run(ledger.set_account_state("a", "s1"))
    late = run(ledger.reserve(query(), 0.0))
    run(ledger.reap(0.0))
    run(ledger.set_account_state("a", state))
    paid_again = query(version=version)
    holder = run(ledger.reserve(paid_again, LEASE_S))
    with pytest.raises(Refusal, match="deadline-passed"):
        run(ledger.commit(query(), late))
    run(ledger.commit(paid_again, holder))


def test_a_replay_gives_the_first_version_and_state_again(ledger, run, buy):
    run(ledger.set_account_state("a", "first"))
    buy(query(version=3))
    run(ledger.set_account_state("a", "second"))
    replay = run(ledger.reserve(query(version=4), LEASE_S))
    assert (replay.plan_version, replay.state) == (3, "first")
    other = run(ledger.reserve(query("other", version=4), LEASE_S))
    assert (other.plan_version, other.state) == (4, "second")


@pytest.mark.parametrize("way", ["abandoned", "released", "reaped", "lease over"])
def test_what_was_never_answered_is_sold_as_it_is_sold_now(ledger, run, refusal, spent, way):
    """An answer that was given binds, and nothing else does: not the state, plan or price."""
    run(ledger.set_account_state("a", "first"))
    asked = query(clips=4, version=3, model="m1")
    late = run(ledger.reserve(asked, 0.0 if way in ("reaped", "lease over") else LEASE_S))
    if way == "reaped":
        assert run(ledger.reap(0.0)) == 1
    elif way != "lease over":
        run({"abandoned": ledger.abandon, "released": ledger.release}[way](asked, late))
    run(ledger.set_account_state("a", "second"))
    again = query(clips=4, plan="hard", version=4, model="m2", cost=40)
    grant = run(ledger.reserve(again, LEASE_S))
    assert (grant.charged, grant.replayed) == (40, False)
    assert (grant.plan_version, grant.state) == (4, "second")
    assert spent() == 40
    with pytest.raises(Refusal, match="deadline-passed"):
        run(ledger.commit(asked, late))
    run(ledger.commit(again, grant, 30))
    assert spent() == 30
    run(ledger.set_account_state("a", "third"))
    replay = run(ledger.reserve(again, LEASE_S))
    assert (replay.charged, replay.replayed, replay.state) == (0, True, "second")
    assert "another model" in refusal(query(clips=4, plan="hard", model="m1")).detail
    assert run(ledger.verify()) == []


def test_buying_anew_counts_what_goes_back_and_refuses_without_a_trace(
    ledger, run, refusal, kept, spent
):
    rules = policies(key=10)
    grant = run(ledger.reserve(query("q", 7, rules), LEASE_S))
    run(ledger.abandon(query("q", 7, rules), grant))
    before = kept()
    refused = refusal(query("q", 7, rules, cost=11))
    assert (refused.code, refused.remaining) == ("budget-exhausted", 10)
    assert refusal(query("other", 4, rules)).remaining == 3
    assert kept() == before
    assert run(ledger.reserve(query("q", 7, rules, cost=10), LEASE_S)).standing.remaining == 0
    assert spent(rules) == 10


def test_of_many_that_buy_an_abandoned_query_at_once_one_pays(run, open_one):
    stores = [open_one(), open_one()]

    async def work():
        grant = await stores[0].reserve(query(clips=7), LEASE_S)
        await stores[0].abandon(query(clips=7), grant)
        await stores[1].set_account_state("a", "now")
        sends = (stores[n % 2].reserve(query(clips=7, cost=9), LEASE_S) for n in range(40))
        return await asyncio.gather(*sends, return_exceptions=True)

    outcomes = run(work())
    (bought,) = (outcome for outcome in outcomes if not isinstance(outcome, Refusal))
    assert (bought.charged, bought.state) == (9, "now")
    codes = {outcome.code for outcome in outcomes if isinstance(outcome, Refusal)}
    assert codes == {"still-running"}
    assert run(stores[0].standing(policies())).spent == 9
    assert run(stores[0].verify()) == []


def test_what_would_be_is_told_without_a_trace(ledger, run, buy, kept):
    rules = paced(0.001, 20, key=20)
    buy(query("answered", 7, rules))
    run(ledger.reserve(query("running", 2, rules), LEASE_S))
    run(ledger.reserve(query("lapsed", 5, rules), 0.0))
    before = kept()

    def foreseen(asked: Query) -> bool | str:
        try:
            return run(ledger.would_replay(asked))
        except Refusal as refusal:
            return refusal.code

    assert foreseen(query("answered", 7, policies(key=0))) is True
    assert foreseen(query("answered", 7, rules)) == "rate-limited"
    assert foreseen(query("answered", 7, rules, payload=b"other")) == "key-reused"
    assert foreseen(query("running", 2, rules)) == "still-running"
    assert foreseen(query("lapsed", 5, rules, cost=11)) is False
    assert foreseen(query("lapsed", 5, rules, cost=12)) == "budget-exhausted"
    assert foreseen(query("new", 6, rules)) is False
    assert foreseen(query("new", 6, rules, cost=7)) == "budget-exhausted"
    assert foreseen(query("new", 21, rules, cost=0)) == "batch-exceeds-burst"
    assert kept() == before


def test_a_replay_pays_the_rate(buy, refusal):
    rules = paced(0.01, 10)
    buy(query("q", 6, rules))
    refused = refusal(query("q", 6, rules))
    assert refused.code == "rate-limited"
    assert refused.standing.rate_remaining == 4


def test_a_replay_needs_no_budget(ledger, run, buy):
    rules = policies(key=7)
    buy(query("q", 7, rules))
    assert run(ledger.reserve(query("q", 7, rules), LEASE_S)).replayed
    assert run(ledger.reserve(query("q", 7, policies(key=3)), LEASE_S)).replayed


@pytest.mark.parametrize(("per_s", "burst", "cost"), [(8.0, 4, 4), (50.0, 7, 7), (3.0, 1, 1)])
def test_retry_after_works_when_it_is_obeyed(buy, refusal, per_s, burst, cost):
    rules = paced(per_s, burst)
    buy(query("one", burst, rules))
    time.sleep(refusal(query("two", cost, rules)).retry_after_s)
    assert buy(query("two", cost, rules)) == cost


def test_the_longest_wait_of_several_rates_is_told(buy, refusal):
    rules = (*paced(20.0, 4), Rate("account:a", 10.0, 4))
    buy(query("one", 4, rules))
    refused = refusal(query("two", 4, rules))
    assert 0.3 < refused.retry_after_s < 0.402
    time.sleep(refused.retry_after_s)
    assert buy(query("two", 4, rules)) == 4


def test_no_window_grants_more_than_burst_and_rate(ledger, run):
    per_s, burst = 40.0, 10
    rules = paced(per_s, burst)

    async def take_all() -> tuple[int, float]:
        begun, granted, number = await ledger.now(), 0, 0
        while await ledger.now() < begun + 1.3:  # over the boundary of any clock's second
            number += 1
            try:
                granted += (await ledger.reserve(query(f"q{number}", 1, rules), LEASE_S)).charged
            except Refusal as refused:
                if refused.code != "rate-limited":
                    raise
        return granted, await ledger.now() - begun

    granted, elapsed_s = run(take_all())
    assert granted <= burst + per_s * elapsed_s
    assert granted >= 0.8 * (burst + per_s * 1.3)


@pytest.mark.parametrize("clips", [1, 7])
def test_what_remains_is_told_truly_and_never_negative(ledger, run, refusal, clips):
    rules = paced(0.01, 20, key=30)

    async def work() -> list[tuple[int, int, int]]:
        told = []
        for number in range(20 // clips):
            left = (await ledger.reserve(query(f"q{number}", clips, rules), LEASE_S)).standing
            told.append((left.spent, left.remaining, left.rate_remaining))
        return told

    for number, told in enumerate(run(work()), start=1):
        assert told == (number * clips, 30 - number * clips, 20 - number * clips)
    assert run(ledger.totals()).spent["key:k"] == 20 // clips * clips
    refused = refusal(query("rate", clips, rules))
    assert refused.standing == run(ledger.standing(rules)) or refused.standing.rate_reset_s > 0
    assert refused.standing.remaining == 30 - 20 // clips * clips
    smaller = run(ledger.standing(policies(key=3)))
    assert (smaller.budget, smaller.remaining) == (3, 0)
    assert refusal(query("more", clips, policies(key=3))).remaining == 0


def test_the_tightest_budget_is_told_and_the_first_ones_spending(ledger, run, buy):
    buy(query("q", 7))
    left = run(ledger.standing(policies(key=100, account=None, total=20)))
    assert (left.budget, left.spent, left.remaining) == (20, 7, 13)
    unlimited = run(ledger.standing(policies(key=None)))
    assert (unlimited.budget, unlimited.spent, unlimited.remaining) == (None, 7, None)
    assert (unlimited.rate_remaining, unlimited.rate_reset_s) == (None, None)
    nobody = run(ledger.standing((Budget("key:none", 5), Rate("key:none", 2.0, 4))))
    assert (nobody.spent, nobody.remaining, nobody.rate_remaining) == (0, 5, 4)


def test_audit_use_is_entered_but_counts_nowhere(ledger, run, spent):
    run(ledger.note_audit(query("audit", 50, ())))
    assert spent() == 0
    (row,) = run(ledger.spend())
    assert (row.spent, row.queries, row.audited) == (0, 0, 50)
    assert run(ledger.verify()) == []


def test_usage_counts_each_key_under_each_plan(ledger, run, buy):
    buy(query("one", 7))
    buy(query("one", 7))
    grant = run(ledger.reserve(query("two", 5), LEASE_S))
    run(ledger.release(query("two", 5), grant))
    run(ledger.reserve(query("three", 2), LEASE_S))
    buy(query("four", 1, plan="hard"))
    hard, soft = run(ledger.spend())
    assert (hard.account, hard.key_id, hard.plan) == ("a", "k", "hard")
    assert (hard.spent, hard.queries, hard.audited) == (1, 1, 0)
    assert (soft.plan, soft.spent, soft.queries) == ("soft", 9, 1)
    assert soft.last_at == max(e.at for e in run(ledger.entries()) if e.plan == "soft")
    assert run(ledger.verify()) == []
