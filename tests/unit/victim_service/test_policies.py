"""Policies of a plan: days, tiers, the price of what is revealed, and speakers that are told."""

import asyncio
import re

import numpy as np
import pytest
import yaml

from shared.config import ConfigError, validate
from tests.support.apps import loudness_model, open_shop
from tests.support.victims import ROOT, make_clips
from victim_service import policies
from victim_service.account_state import AccountState
from victim_service.defences.proof_of_work import ProofOfWorkSpec
from victim_service.leakage import LeakagePrice, leakage_of, next_state
from victim_service.plans import Plan, read_plan
from victim_service.prices import PriceTier, money
from victim_service.speaker_cap import SpeakerCap

TIERS = (PriceTier.model_validate({"from": 1000, "price": 0.02}),)
PRICE = LeakagePrice(most=4)


def sold(**terms) -> dict[str, Plan]:
    plan = {"name": "soft", "label_mode": "soft", "budget": 100, **terms}
    return {"soft": validate(plan, Plan, origin="test")}


def one_hot(*labels: int, classes: int = 6) -> np.ndarray:
    return (0.9 * np.eye(classes)[list(labels)] + 0.1 / classes).astype(np.float32)


def test_the_plan_of_the_page_can_be_sold_and_is_read_as_it_is_kept():
    page = (ROOT / "docs/policies.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    plan = validate(yaml.safe_load(text), Plan, origin="docs/policies.md")
    assert read_plan(plan.model_dump_json(), "ledger") == plan
    for field in ("daily_budget", "price_tiers", "leakage_price", "speaker_cap"):
        assert getattr(plan, field)
        assert f"`{field}`" in page


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"daily_budget": 0}, "daily_budget"),
        ({"price_tiers": [{"from": 5, "price": 1.0}, {"from": 5, "price": 2.0}]}, "growing"),
        ({"price_tiers": [{"from": 0, "price": 1.0}]}, "from"),
        ({"leakage_price": {"most": 1}}, "most"),
        ({"leakage_price": {"most": 4, "measure": "guess"}}, "measure"),
        ({"speaker_cap": {"speakers": 0}}, "speakers"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(terms, words):
    with pytest.raises(ConfigError, match=words):
        sold(**terms)


NAMES_ONE = [
    ({"label_mode": "hard"}, "label_mode hard"),
    ({"label_mode": "top_k", "top_k": 1}, "label_mode top_k"),
    *(
        ({"defences": [spec]}, spec["kind"])
        for spec in (
            {"kind": "label_only"},
            {"kind": "confidence_buckets"},
            {"kind": "deceptive_labels", "delta": 0.1, "privacy": 1.0},
            {"kind": "top_k", "k": 1, "rest": "renormalise"},
        )
    ),
]
"""Terms under which an answer names a single label, and what makes it so."""


@pytest.mark.parametrize(("terms", "by"), NAMES_ONE)
def test_a_cap_that_answers_all_labels_alike_needs_answers_that_show_several(terms, by):
    words = f"{by} would name one all the same. Set beyond: told"
    with pytest.raises(ConfigError, match=words):
        sold(speaker_cap={"speakers": 5}, **terms)
    ladder = {"steps": [{"kind": "price_up", "factor": 2.0}, {"kind": "degrade", **terms}]}
    with pytest.raises(ConfigError, match=f"ladder, step 2: .*{words}"):
        sold(speaker_cap={"speakers": 5}, ladder=ladder)
    told = {"speaker_cap": {"speakers": 5, "beyond": "told"}}
    assert sold(**told, **terms)
    assert sold(**told, ladder=ladder)


def test_a_cap_may_answer_alike_where_several_labels_are_shown():
    two = {"kind": "top_k", "k": 2}
    for terms in ({"label_mode": "top_k", "top_k": 2}, {"defences": [two]}):
        assert sold(speaker_cap={"speakers": 5}, **terms)


@pytest.mark.parametrize(
    ("units", "cost"), [(0, 0), (1, 0.01), (1000, 10), (1001, 10.02), (3000, 50)]
)
def test_later_units_cost_what_their_tier_says(units, cost):
    assert money(units, 0.01, TIERS) == pytest.approx(cost)


def test_money_is_the_sum_of_the_price_of_each_unit():
    tiers = [PriceTier.model_validate({"from": n, "price": p}) for n, p in ((3, 5), (4, 1), (9, 0))]
    prices = [2] * 3 + [5] * 1 + [1] * 5 + [0] * 10
    for units in range(len(prices) + 1):
        assert money(units, 2, tiers) == sum(prices[:units])


def test_leakage_is_nothing_for_a_sure_row_and_one_for_an_even_one():
    rows = np.array([[1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0], [0.7, 0.2, 0.1, 0]], np.float32)
    half = -np.sum([p * np.log(p) for p in (0.7, 0.2, 0.1)]) / np.log(4)
    np.testing.assert_allclose(leakage_of(rows), [0, 1, 0.5, half], atol=1e-6)
    np.testing.assert_allclose(leakage_of(rows, "margin"), [0, 1, 1, 0.5], atol=1e-6)
    assert leakage_of(np.ones((3, 1), np.float32)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("classes", [2, 10, 1251])
@pytest.mark.parametrize("measure", ["entropy", "margin"])
def test_leakage_and_cost_of_a_batch_are_those_of_its_clips(classes, measure):
    rows = np.random.default_rng(0).dirichlet(np.full(classes, 0.3), 40).astype(np.float32)
    each = leakage_of(rows, measure)
    assert ((each >= 0) & (each <= 1)).all()
    price = LeakagePrice(measure=measure, most=7)
    assert price.cost(rows) == sum(price.cost(rows[n : n + 1]) for n in range(40))
    assert 40 <= price.cost(rows) <= price.reserved(40) == 280


def test_what_answers_revealed_adds_up():
    state = next_state(AccountState(rung=2), np.full((3, 4), 0.25, np.float32))
    assert (state.rung, state.queries, state.leakage) == (2, 3, pytest.approx(3))
    assert next_state(state, one_hot(1), "margin").leakage == pytest.approx(3.1)


@pytest.mark.parametrize("beyond", ["uniform", "told"])
def test_the_first_speakers_are_told_and_no_others(beyond):
    cap = SpeakerCap(speakers=2, beyond=beyond)
    rows = one_hot(3, 1, 3, 5, 0, 1)
    shown = cap.apply(rows, AccountState())
    np.testing.assert_array_equal(shown[[0, 1, 2, 5]], rows[[0, 1, 2, 5]])
    assert (shown.shape, shown.dtype) == (rows.shape, np.float32)
    np.testing.assert_allclose(shown.sum(axis=1), 1, atol=1e-6)
    if beyond == "uniform":
        assert np.ptp(shown[[3, 4]]) == 0
    else:
        assert shown[3, [1, 3]] == pytest.approx([0.5, 0.5])
        assert shown[3, [0, 2, 4, 5]].tolist() == [0, 0, 0, 0]


def test_a_row_that_gives_nothing_to_those_told_is_even_among_them():
    rows = np.eye(4, dtype=np.float32)[[1, 2, 3]]
    shown = SpeakerCap(speakers=2, beyond="told").apply(rows, AccountState())
    assert shown[2].tolist() == [0, 0.5, 0.5, 0]


def test_batches_in_turn_are_told_what_one_batch_is_told():
    cap = SpeakerCap(speakers=3)
    rows = one_hot(*np.random.default_rng(1).integers(0, 6, 40))
    together = cap.apply(rows, AccountState())
    state, parts = AccountState(alarms=1), []
    for start in range(0, 40, 7):
        part = rows[start : start + 7]
        parts.append(cap.apply(part, state))
        state = AccountState.read(cap.next_state(state, part).text)
    np.testing.assert_array_equal(np.concatenate(parts), together)
    assert (bin(int(state.speakers, 16)).count("1"), state.alarms) == (3, 1)
    assert cap.next_state(state, rows) == state  # asked again, nothing is news


def test_the_last_label_of_many_is_kept_in_the_state():
    rows = np.eye(1251, dtype=np.float32)[[1250, 0]]
    state = SpeakerCap(speakers=5).next_state(AccountState(), rows)
    assert int(state.speakers, 16) == 2**1250 + 1


def test_which_plans_keep_state_and_what_of_it():
    plain, capped = sold()["soft"], sold(speaker_cap={"speakers": 1})["soft"]
    worked = sold(defences=(ProofOfWorkSpec(base=2.0),))["soft"]
    assert [policies.keeps_state(plan) for plan in (plain, capped, worked)] == [False, True, True]
    assert policies.next_state(plain, AccountState(), one_hot(2)).speakers == ""
    assert policies.next_state(capped, AccountState(), one_hot(2)).speakers == "4"
    assert policies.cost(plain, one_hot(2)) is None


def test_a_day_grants_its_clips_and_says_when_more_come(tmp_path):
    plans = sold(daily_budget=8, rate_per_s=1000, burst=64)

    async def story():
        async with open_shop(tmp_path, plans=plans) as shop:
            key = await shop.key()
            first = await shop.send(key, 6)
            second = await shop.send(key, 3)
            large = await shop.send(key, 9)
            account = (await shop.get("/v1/account", key)).json()
            return first, second, large, account

    first, second, large, account = asyncio.run(story())
    assert '"daily";q=8;w=86400;qu="clips"' in first.headers["ratelimit-policy"]
    assert re.search(r'"daily";r=2;t=648\d\d', first.headers["ratelimit"])
    assert '"rate";r=' in first.headers["ratelimit"]
    assert (second.json()["code"], second.json()["remaining"]) == ("rate-limited", 2)
    assert 10_700 < int(second.headers["retry-after"]) <= 10_801  # one clip is an eighth of a day
    assert large.json()["code"] == "batch-exceeds-burst"
    assert (account["daily_budget"], account["daily_remaining"], account["spent"]) == (8, 2, 6)


@pytest.mark.parametrize("headers", ["coarse", "none"])
def test_what_is_left_of_a_day_is_told_to_those_who_see_all(tmp_path, headers):
    plans = sold(daily_budget=8, headers=headers)

    async def story():
        async with open_shop(tmp_path, plans=plans) as shop:
            key = await shop.key()
            await shop.send(key, 6)
            return (await shop.send(key, 3)).json()

    refused = asyncio.run(story())
    assert refused["code"] == "rate-limited"
    assert "remaining" not in refused


def test_the_service_charges_what_answers_reveal_and_gives_the_rest_back(tmp_path):
    clips = make_clips(10, 256)
    expected = PRICE.cost(loudness_model(clips))
    plans = sold(
        leakage_price={"most": 4}, price_per_clip=1.0, price_tiers=[{"from": 1, "price": 3}]
    )
    assert 10 < expected < 40

    async def story():
        async with open_shop(tmp_path, plans=plans) as shop:
            key, admin = await shop.key(), await shop.key(scope="admin", account="root")
            sent = await shop.send(key, clips, name="revealing")
            replay = await shop.send(key, clips, name="revealing")
            account = (await shop.get("/v1/account", key)).json()
            usage = (await shop.get("/v1/admin/accounts/alice", admin)).json()
            too_many = await shop.send(key, 24)
            entries = [entry.delta for entry in await shop.ledger.entries()]
            return sent, replay, account, usage, too_many, entries, await shop.ledger.verify()

    sent, replay, account, usage, too_many, entries, mismatches = asyncio.run(story())
    assert (sent.status_code, replay.status_code, mismatches) == (200, 200, [])
    assert f'"budget";r={100 - expected}' in sent.headers["ratelimit"]
    assert 'qu="units"' in sent.headers["ratelimit-policy"]
    assert (account["spent"], account["remaining"]) == (expected, 100 - expected)
    assert account["most_units_per_clip"] == 4
    assert account["spent_money"] == usage["cost"] == 1 + 3 * (expected - 1)
    assert entries == [40, expected - 40, 0]
    assert too_many.json()["code"] == "budget-exhausted"
    assert too_many.json()["remaining"] == 100 - expected


def test_the_service_tells_the_speakers_of_the_state_and_replays_the_first_answer(tmp_path):
    plans = sold(speaker_cap={"speakers": 1, "beyond": "uniform"})
    clips = make_clips(12, 256)
    top = loudness_model(clips).argmax(axis=1)
    other = AccountState(speakers=f"{1 << int(top[0] + 1) % 4:x}")

    async def story():
        async with open_shop(tmp_path, plans=plans) as shop:
            key = await shop.key()
            first = await shop.send(key, clips[:1], name="speaker-1")
            await shop.ledger.set_account_state("alice", other.text)
            later = await shop.send(key, clips[:1], name="speaker-2")
            return first, later, await shop.send(key, clips[:1], name="speaker-1")

    first, later, replay = asyncio.run(story())
    rows = [np.frombuffer(response.content[-16:], np.float32) for response in (first, later)]
    np.testing.assert_allclose(rows[0], loudness_model(clips[:1])[0], atol=1e-4)
    np.testing.assert_array_equal(rows[1], np.full(4, 0.25))
    assert replay.content == first.content
