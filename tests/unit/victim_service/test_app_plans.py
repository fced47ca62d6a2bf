"""What plans do on the wire: label modes, what is told of what is left, changes, defences."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from shared.audio import from_npy
from shared.contract import AccountStatus, ClassifyAnswer
from tests.support.apps import CARD, PLANS, SAMPLES, Shop, loudness_model, open_shop
from tests.support.defences import TEST_DEFENCES, BrokenSpec, MixtureSpec, StatefulSpec
from tests.support.victims import make_clips, make_victim
from victim_service import defences
from victim_service.model import Predictor
from victim_service.plan_book import admin_source
from victim_service.plans import Plan

Story = Callable[[Shop], Awaitable[None]]
ADMIN = admin_source("0123456789ab")
SOFT = PLANS["soft"]
NOWHERE = Path()
"""The ledgers of these tests are named by URL."""


@pytest.fixture(autouse=True)
def more_defences(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for kind, spec in TEST_DEFENCES.items():
        monkeypatch.setitem(defences.DEFENCES, kind, spec)
    yield
    defences._built.cache_clear()


def play(ledger_url: str, story: Story, **options: Any) -> None:
    async def main() -> None:
        async with open_shop(NOWHERE, ledger_url=ledger_url, **options) as shop:
            await asyncio.wait_for(story(shop), 30)

    asyncio.run(main())


def named(*plans: Plan) -> dict[str, Plan]:
    return {plan.name: plan for plan in plans}


def rows(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return from_npy(response.content, max_bytes=100_000)


def refused(response: httpx.Response, code: str) -> dict[str, Any]:
    document: dict[str, Any] = response.json()
    assert document["code"] == code, document
    return document


async def change(shop: Shop, plan: Plan) -> None:
    """Change a plan as an administrator, and wait as long as it may take to be seen."""
    await shop.parts.plan_book.put(plan, ADMIN)


# ----------------------------------------------------------------------------------- label modes


def test_rounded_and_temperature_plans_answer_as_the_model_card_says(ledger_url):
    rounded = Plan(name="rounded", label_mode="rounded", decimals=1)
    warm = Plan(name="warm", label_mode="temperature", temperature=4.0)

    async def story(shop: Shop) -> None:
        clips = make_clips(9, SAMPLES)
        clear = rows(await shop.send(await shop.key(scope="audit"), clips))
        key = await shop.key("rounded")
        tenths = rows(await shop.send(key, clips, name="same-name")) * 10
        np.testing.assert_allclose(tenths, np.rint(tenths), atol=1e-6)
        answer = await shop.send(key, clips, name="same-name", accept="application/json")
        document = ClassifyAnswer.model_validate_json(answer.content)
        assert document.label_mode == "rounded"
        assert [a.label for a in document.answers] == clear.argmax(axis=1).tolist()
        assert {len(str(p)) for a in document.answers for p in a.probabilities or ()} == {3}
        card = (await shop.get("/v1/model", key)).json()
        assert (card["label_mode"], card["decimals"], card["top_k"]) == ("rounded", 1, None)
        key = await shop.key("warm")
        flat = clear ** np.float32(0.25)
        expected = flat / flat.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(rows(await shop.send(key, clips)), expected, atol=1e-6)
        card = (await shop.get("/v1/model", key)).json()
        assert card["label_mode"] == "temperature"
        assert "4.0" not in json.dumps(card)

    play(ledger_url, story, plans=named(rounded, warm))


# ------------------------------------------------------------------------ what is told of the rest


def told(headers: str) -> Plan:
    return Plan(
        name=headers, label_mode="hard", budget=47, rate_per_s=0.5, burst=29, headers=headers
    )


async def answers_and_refusals(shop: Shop, plan: str) -> list[httpx.Response]:
    """Buy 17 of 47, then be refused for the budget, for the rate, and for the burst."""
    key = await shop.key(plan)
    given = await shop.send(key, 17)
    assert given.status_code == 200
    too_fast = await shop.send(key, 14)
    too_many = await shop.send(await shop.key(plan, budget=12), 13)
    too_large = await shop.send(key, 30)
    refused(too_fast, "rate-limited")
    refused(too_many, "budget-exhausted")
    refused(too_large, "batch-exceeds-burst")
    return [given, too_fast, too_many, too_large]


def test_full_visibility_tells_all(ledger_url):
    async def story(shop: Shop) -> None:
        given, too_fast, too_many, too_large = await answers_and_refusals(shop, "full")
        assert given.headers["ratelimit-policy"].startswith('"rate";q=1;w=2;qu="clips"')
        assert '"budget";r=30' in given.headers["ratelimit"]
        assert '"rate";r=' in too_fast.headers["ratelimit"]
        assert too_many.json()["remaining"] == 12
        assert "12 remain" in too_many.json()["detail"]
        assert "burst is 29" in too_large.json()["detail"]

    play(ledger_url, story, plans=named(told("full")))


def test_coarse_visibility_tells_the_budget_in_tenths_and_nothing_of_the_rate(ledger_url):
    async def story(shop: Shop) -> None:
        given, too_fast, too_many, too_large = await answers_and_refusals(shop, "coarse")
        policy = '"rate";q=1;w=2;qu="clips", "budget";q=47;qu="clips"'
        assert given.headers["ratelimit-policy"] == policy
        # 30 of 47 remain, which is 6.4 tenths: 6 tenths are 28.
        assert given.headers["ratelimit"] == '"budget";r=28'
        assert too_fast.headers["ratelimit"] == '"budget";r=28'
        assert too_many.headers["ratelimit"] == '"budget";r=12'
        assert too_many.json()["remaining"] == 12  # nothing was bought: ten tenths
        for response in (too_fast, too_many, too_large):
            assert not any(letter.isdigit() for letter in response.json()["detail"])
        key = await shop.key("coarse", budget=13)
        await shop.send(key, 4)
        almost = await shop.send(key, 10)
        assert refused(almost, "budget-exhausted")["remaining"] == 7  # of 9: 6 tenths of 13
        assert almost.headers["ratelimit"] == '"budget";r=7'

    play(ledger_url, story, plans=named(told("coarse")))


def test_no_visibility_tells_nothing_in_headers_and_problems(ledger_url):
    async def story(shop: Shop) -> None:
        for response in await answers_and_refusals(shop, "none"):
            assert not [name for name in response.headers if name.startswith("ratelimit")]
            if response.status_code != 200:
                document = response.json()
                assert "remaining" not in document
                assert not any(letter.isdigit() for letter in document["detail"])
                # What may be retried still says when: that is how a client obeys.
                assert ("retry_after_s" in document) == (document["code"] == "rate-limited")

    play(ledger_url, story, plans=named(told("none")))


def test_the_account_tells_all_to_those_who_ask(ledger_url):
    async def story(shop: Shop) -> None:
        key = await shop.key("none")
        await shop.send(key, 7)
        status = AccountStatus.model_validate_json((await shop.get("/v1/account", key)).content)
        assert (status.budget, status.spent, status.remaining) == (47, 7, 40)

    play(ledger_url, story, plans=named(told("none")))


# ----------------------------------------------------------------------------------------- changes


def test_a_replay_after_a_change_gives_the_first_answer_byte_for_byte(ledger_url):
    noisy = SOFT.model_copy(update={"defences": (MixtureSpec(),)})
    changes = [
        SOFT.model_copy(update={"label_mode": "hard"}),
        SOFT.model_copy(update={"defences": (MixtureSpec(share=0.9),)}),
        SOFT.model_copy(update={"label_mode": "rounded", "decimals": 1}),
    ]

    async def story(shop: Shop) -> None:
        key = await shop.key()
        first = {
            accept: await shop.send(key, 6, name="same-name", accept=accept)
            for accept in ("application/x-npy", "application/json")
        }
        for number, plan in enumerate(changes):
            await change(shop, plan)
            for accept, answer in first.items():
                again = await shop.send(key, 6, name="same-name", accept=accept)
                assert again.headers["idempotency-replayed"] == "true"
                assert again.content == answer.content
            fresh = await shop.send(key, 6, name=f"another-name-{number}")
            assert fresh.content != first["application/x-npy"].content
        assert await shop.spent(key) == 6 * 4
        assert await shop.ledger.verify() == []

    play(ledger_url, story, plans=named(noisy))


def test_a_retry_after_the_lease_is_bought_as_it_is_sold_then(ledger_url):
    gone, entered = threading.Event(), threading.Event()

    def model(clips: np.ndarray) -> np.ndarray:
        entered.set()
        gone.wait(10)
        return loudness_model(clips)

    async def story(shop: Shop) -> None:
        key, clips = await shop.key("soft"), make_clips(3, SAMPLES)
        await shop.ledger.set_account_state("alice", "1")
        first = asyncio.create_task(shop.send(key, clips, name="same-name"))
        await asyncio.to_thread(entered.wait, 5)
        await change(shop, defended)
        await shop.ledger.set_account_state("alice", "0.5")
        await asyncio.sleep(0.6)  # the lease ends, the first attempt does not
        second = asyncio.create_task(shop.send(key, clips, name="same-name"))
        await asyncio.sleep(0.2)
        gone.set()
        halfway = 0.5 * loudness_model(quantised(clips)) + 0.5 / 4
        np.testing.assert_allclose(rows(await second), halfway, atol=1e-6)
        refused(await first, "deadline-passed")  # nobody pays for it any more
        assert await shop.spent(key) == 3
        again = await shop.send(key, clips, name="same-name")
        assert again.headers["idempotency-replayed"] == "true"
        assert again.content == (await second).content
        assert await shop.ledger.verify() == []

    defended = SOFT.model_copy(update={"defences": (StatefulSpec(),)})
    hard = SOFT.model_copy(update={"label_mode": "hard"})
    play(ledger_url, story, predict=model, plans=named(hard), lease_s=0.5)


def test_a_replay_gives_the_answer_of_the_state_it_was_bought_under(ledger_url):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        first = await shop.send(key, 3, name="same-name")
        await shop.ledger.set_account_state("alice", "0.75")
        fresh = await shop.send(key, 3)
        assert (await shop.send(key, 3, name="same-name")).content == first.content
        assert np.ptp(rows(fresh)) < np.ptp(rows(first))

    play(ledger_url, story, plans=named(SOFT.model_copy(update={"defences": (StatefulSpec(),)})))


def test_a_change_is_seen_by_every_replica_within_a_second_and_survives_a_restart(ledger_url):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        async with open_shop(NOWHERE, ledger_url=ledger_url) as other:
            assert (await other.get("/v1/model", key)).json()["label_mode"] == "soft"
            await change(shop, SOFT.model_copy(update={"label_mode": "hard", "budget": 5}))
            await asyncio.sleep(1.05)
            for service in (shop, other):
                assert (await service.get("/v1/model", key)).json()["label_mode"] == "hard"
                assert (await service.get("/v1/account", key)).json()["budget"] == 5
            assert rows(await other.send(key, 3)).dtype == np.int64

    async def after_restart(shop: Shop) -> None:
        key = await shop.key()
        assert (await shop.get("/v1/model", key)).json()["label_mode"] == "hard"

    async def with_a_new_file(shop: Shop) -> None:
        key = await shop.key()
        assert (await shop.get("/v1/account", key)).json()["budget"] == 77

    play(ledger_url, story)
    play(ledger_url, after_restart)
    play(ledger_url, with_a_new_file, plans=named(SOFT.model_copy(update={"budget": 77})))


def test_a_key_of_a_plan_that_nobody_sells_opens_nothing(ledger_url):
    async def story(shop: Shop) -> None:
        refused(await shop.send(await shop.key("gold")), "invalid-key")

    play(ledger_url, story)


def test_another_model_does_not_replay_what_this_one_answered(ledger_url):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        await shop.send(key, 3, name="same-name")
        other_card = CARD.__class__("d" * 64, CARD.labels, CARD.sample_rate_hz, SAMPLES)
        async with open_shop(NOWHERE, ledger_url=ledger_url, card=other_card) as other:
            document = refused(await other.send(key, 3, name="same-name"), "key-reused")
            assert "another model" in document["detail"]
        assert await shop.spent(key) == 3

    play(ledger_url, story)


# ---------------------------------------------------------------------------------------- defences


def quantised(clips: np.ndarray) -> np.ndarray:
    """The clips as they arrive after int16."""
    whole: np.ndarray = np.rint(clips * 32768).clip(-32768, 32767).astype(np.float32) / 32768
    return whole


def test_a_stochastic_defence_answers_alike_alone_batched_restarted_and_replicated(
    tmp_path, ledger_url
):
    checkpoint = make_victim(tmp_path / "victim", clip_samples=SAMPLES)
    noisy = SOFT.model_copy(update={"defences": (MixtureSpec(),), "budget": 1000})
    clips, given = make_clips(12, SAMPLES, seed=5), {}

    async def buy(shop: Shop, key: str, sizes: list[int]) -> np.ndarray:
        parts = np.split(clips, np.cumsum(sizes)[:-1])
        answers = await asyncio.gather(*(shop.send(key, part) for part in parts))
        return np.concatenate([rows(answer) for answer in answers])

    async def first(shop: Shop) -> None:
        key = given["key"] = await shop.key()
        alone = np.concatenate([rows(await shop.send(key, clip[np.newaxis])) for clip in clips])
        given["answers"] = alone
        np.testing.assert_allclose(await buy(shop, key, [12]), alone, rtol=0, atol=1e-6)
        np.testing.assert_allclose(await buy(shop, key, [5, 1, 6]), alone, rtol=0, atol=1e-6)
        async with open_shop(NOWHERE, ledger_url=ledger_url, **service()) as replica:
            np.testing.assert_allclose(await buy(replica, key, [1] * 12), alone, 0, 1e-6)
        same_account = await shop.key()
        np.testing.assert_allclose(await buy(shop, same_account, [12]), alone, rtol=0, atol=1e-6)
        stranger = await shop.key(account="bob")
        assert np.abs(await buy(shop, stranger, [12]) - alone).max() > 0.01
        audit = await shop.key(scope="audit")
        assert np.abs(await buy(shop, audit, [12]) - alone).max() > 0.01

    async def restarted(shop: Shop) -> None:
        answers = await buy(shop, given["key"], [7, 5])
        np.testing.assert_allclose(answers, given["answers"], rtol=0, atol=1e-6)

    async def other_secret(shop: Shop) -> None:
        assert np.abs(await buy(shop, given["key"], [12]) - given["answers"]).max() > 0.01

    def service() -> dict[str, Any]:
        predictor = Predictor(checkpoint, "cpu", 1)
        return {"predict": predictor.predict, "card": predictor.card, "plans": named(noisy)}

    play(ledger_url, first, **service())
    play(ledger_url, restarted, **service())
    play(ledger_url, other_secret, **service(), secret=b"t" * 32)


def test_an_audit_key_sees_the_undefended_model(ledger_url):
    async def story(shop: Shop) -> None:
        clips = make_clips(4, SAMPLES)
        shown = rows(await shop.send(await shop.key(scope="audit"), clips))
        np.testing.assert_allclose(shown, loudness_model(quantised(clips)), atol=1e-6)

    play(ledger_url, story, plans=named(SOFT.model_copy(update={"defences": (MixtureSpec(),)})))


def test_a_broken_defence_charges_nothing(ledger_url):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        answer = await shop.send(key, 5, name="same-name")
        assert refused(answer, "internal")["status"] == 500
        assert await shop.spent(key) == 0
        await change(shop, SOFT)
        assert (await shop.send(key, 5, name="same-name")).status_code == 200
        assert await shop.spent(key) == 5
        assert await shop.ledger.verify() == []

    broken = SOFT.model_copy(update={"defences": (BrokenSpec(how="nan"),)})
    play(ledger_url, story, plans=named(broken))


def test_a_defended_batch_leaves_its_mates_in_the_micro_batch_alone(ledger_url):
    defended = SOFT.model_copy(update={"name": "defended", "defences": (StatefulSpec(),)})

    async def story(shop: Shop) -> None:
        clips = make_clips(8, SAMPLES)
        await shop.ledger.set_account_state("alice", "1")
        keys = [await shop.key("defended"), await shop.key("soft", account="bob")]
        flat, plain = await asyncio.gather(*(shop.send(key, clips) for key in keys))
        np.testing.assert_allclose(rows(flat), 0.25, atol=1e-6)
        np.testing.assert_allclose(rows(plain), loudness_model(quantised(clips)), atol=1e-6)

    play(ledger_url, story, plans=named(SOFT, defended))
