"""Queries that were reserved and never answered: they are sold as everything else is sold then.

Who sends a batch and leaves before the model answers has shown it to no detector. If it kept the
terms of that moment, it could be redeemed later, past the ladder, the cap on speakers and the work.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.apps import SAMPLES, Shop, loudness_model
from tests.support.proofs import solve
from tests.support.watched import good, plan_of, play, put_on, refused, send
from victim_service.api import guards

pytestmark = pytest.mark.usefixtures("loud_detector")

LADDER = {
    "alarms": 1000,
    "steps": [
        {"kind": "price_up", "factor": 10},
        {"kind": "degrade", "label_mode": "hard"},
        {"kind": "challenge", "bits": 4},
    ],
}
BUDGET = 100_000


class Slow:
    """A model of 6 labels, named by a clip's first sample, that works only while it may."""

    def __init__(self) -> None:
        self.may_work = threading.Event()
        self.may_work.set()

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        self.may_work.wait(20)
        labels = np.rint(clips[:, 0] * 10).astype(int)
        return (0.9 * np.eye(6)[labels] + 0.1 / 6).astype(np.float32)


class Leaving:
    """A client that can leave while the model works."""

    def __init__(self, shop: Shop, model: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
        self._shop, self._model, self._patch = shop, model, monkeypatch

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Leave every query that is sent meanwhile before it is answered."""

        async def left(_: object) -> None:
            return

        self._model.may_work.clear()
        with self._patch.context() as patched:
            patched.setattr(guards, "client_left", left)
            yield
        self._model.may_work.set()


def clips_of(label: int, number: int) -> np.ndarray:
    return np.full((number, SAMPLES), label / 10, np.float32)


async def proven(shop: Shop, key: str, clips: np.ndarray, name: str) -> httpx.Response:
    """Send, and send again with the work that was asked for."""
    asked = refused(await shop.send(key, clips, name=name), "proof-required")
    proof, _ = solve(asked["challenge"], asked["bits"])
    return await shop.send(key, clips, name=name, **{"earshot-proof": proof})


def test_batches_that_were_abandoned_tell_no_more_speakers_than_the_cap(ledger_url, monkeypatch):
    plan = plan_of(
        label_mode="hard", budget=BUDGET, detectors=[],
        speaker_cap={"speakers": 1, "beyond": "told"},
    )  # fmt: skip
    model = Slow()

    async def story(shop: Shop) -> None:
        key = await shop.key()
        async with Leaving(shop, model, monkeypatch).away():
            for label in (0, 2, 3, 4):
                await shop.send(key, clips_of(label, 256), name=f"batch-of-{label}")
        assert await shop.spent(key) == 4 * 256
        told = [
            set(good(await shop.send(key, clips_of(label, 256), name=f"batch-of-{label}")).tolist())
            for label in (2, 0, 3, 4)
        ]
        assert told == [{2}] * 4
        assert await shop.spent(key) == 4 * 256
        assert await shop.ledger.verify() == []

    play(ledger_url, story, plan, predict=model, max_batch_clips=256)


def test_who_left_pays_for_a_query_that_he_can_come_back_for(ledger_url, monkeypatch):
    plan = plan_of(label_mode="hard", budget=BUDGET, detectors=[])
    model = Slow()

    async def story(shop: Shop) -> None:
        key = await shop.key()
        async with Leaving(shop, model, monkeypatch).away():
            await shop.post_wav(key)
            assert await shop.spent(key) == 0, "nobody knows the name of the query"
            await shop.send(key, 1, name="a-name-of-its-own")
            assert await shop.spent(key) == 1
        good(await shop.send(key, 1, name="a-name-of-its-own"))
        assert await shop.spent(key) == 1
        assert await shop.ledger.verify() == []

    play(ledger_url, story, plan, predict=model)


WAYS = ("client gone", "too late", "model failed", "commit lost")


@pytest.mark.parametrize("way", WAYS)
def test_what_was_never_answered_is_sold_on_the_rung_of_its_retry(ledger_url, monkeypatch, way):
    model = Slow()
    broken = [False]

    def predict(clips: np.ndarray) -> np.ndarray:
        if broken[0]:
            raise RuntimeError("out of memory")
        return model(clips)

    async def unanswered(shop: Shop, key: str, clips: np.ndarray) -> None:
        """Send a batch on rung 0 in vain."""
        if way == "client gone":
            async with Leaving(shop, model, monkeypatch).away():
                await shop.send(key, clips, name="same-name")
            assert await shop.spent(key) == 256
        elif way == "too late":
            model.may_work.clear()
            refused(await shop.send(key, clips, name="same-name"), "deadline-passed")
            model.may_work.set()
        elif way == "model failed":
            broken[0] = True
            refused(await shop.send(key, clips, name="same-name"), "model-failed")
            broken[0] = False
        else:

            async def lost(*_: Any) -> None:
                raise RuntimeError("lost")

            with monkeypatch.context() as patched:
                patched.setattr(shop.ledger, "commit", lost)
                refused(await shop.send(key, clips, name="same-name"), "internal")
            await asyncio.sleep(shop.parts.settings.lease_s)

    async def story(shop: Shop) -> None:
        key, clips = await shop.key(), clips_of(3, 256)
        await unanswered(shop, key, clips)
        await put_on(shop, 3)
        sold = await proven(shop, key, clips, "same-name")
        assert good(sold).tolist() == [3] * 256  # degraded: hard labels
        assert "idempotency-replayed" not in sold.headers
        assert await shop.spent(key) == 2560
        await put_on(shop, 0)
        again = await shop.send(key, clips, name="same-name")
        assert again.headers["idempotency-replayed"] == "true"
        assert again.content == sold.content
        await put_on(shop, 3)
        assert (await shop.send(key, clips, name="same-name")).content == sold.content
        assert await shop.spent(key) == 2560
        assert await shop.ledger.verify() == []

    play(
        ledger_url, story, plan_of(budget=BUDGET, ladder=LADDER, detectors=[]), predict=predict,
        max_batch_clips=256, answer_deadline_s=2.0, lease_s=3.0,
    )  # fmt: skip


def test_what_was_answered_keeps_its_terms_on_every_rung(ledger_url):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        first = await send(shop, key, "Lqq", name="same-name")
        for rung in (1, 2, 3, 0):
            await put_on(shop, rung)
            again = await send(shop, key, "Lqq", name="same-name")
            assert again.headers["idempotency-replayed"] == "true"
            assert again.content == first.content
        assert await shop.spent(key) == 3

    play(ledger_url, story, plan_of(budget=BUDGET, ladder=LADDER, detectors=[]))


@pytest.mark.parametrize("rung", [2, 3])
def test_a_step_between_the_terms_and_the_sale_is_no_way_round_it(ledger_url, monkeypatch, rung):
    """The price and the work are read before the sale: another rung by then sells nothing."""

    async def story(shop: Shop) -> None:
        key = await shop.key()
        read = shop.ledger.account_state
        reads = []

        async def read_then_step(account: str) -> str:
            reads.append(account)
            state = await read(account)
            if len(reads) == 1:
                await put_on(shop, rung)
            return state

        monkeypatch.setattr(shop.ledger, "account_state", read_then_step)
        answer = await send(shop, key, "Lqq", name="same-name")
        kinds = [(entry.kind, entry.delta) for entry in await shop.ledger.entries()]
        assert kinds[:2] == [("reserve", 3), ("release", -3)]
        if rung == 3:
            refused(answer, "proof-required")
            assert await shop.spent(key) == 0
        else:
            assert good(answer).ndim == 1
            assert kinds[2:] == [("reserve", 30), ("commit", 0)]
            assert await shop.spent(key) == 30
        assert await shop.ledger.verify() == []

    play(ledger_url, story, plan_of(budget=BUDGET, ladder=LADDER, detectors=[]))


def test_of_many_that_come_back_for_an_abandoned_query_at_once_one_pays(ledger_url, monkeypatch):
    model = Slow()

    async def story(shop: Shop) -> None:
        key, clips = await shop.key(), clips_of(2, 8)
        async with Leaving(shop, model, monkeypatch).away():
            await shop.send(key, clips, name="same-name")
        await put_on(shop, 2)
        sends = (shop.send(key, clips, name="same-name") for _ in range(20))
        answers = await asyncio.gather(*sends)
        given = [answer for answer in answers if answer.status_code == 200]
        assert given
        assert {answer.content for answer in given} == {given[0].content}
        assert {answer.json()["code"] for answer in answers if answer not in given} <= {
            "still-running"
        }
        assert sum("idempotency-replayed" not in answer.headers for answer in given) == 1
        assert await shop.spent(key) == 80
        assert await shop.ledger.verify() == []

    play(ledger_url, story, plan_of(budget=BUDGET, ladder=LADDER, detectors=[]), predict=model)


def test_nobody_works_for_what_cannot_be_sold_to_him(ledger_url, monkeypatch):
    entered = threading.Event()
    model = Slow()

    def predict(clips: np.ndarray) -> np.ndarray:
        entered.set()
        model.may_work.wait(20)
        return loudness_model(clips)

    async def story(shop: Shop) -> None:
        await put_on(shop, 3)
        poor = await shop.key(budget=0)
        document = refused(await send(shop, poor, "L"), "budget-exhausted")
        assert (document["status"], document["remaining"]) == (402, 0)
        nearly = await shop.key(budget=19)
        refused(await send(shop, nearly, "L"), "proof-required")
        refused(await send(shop, nearly, "LL"), "budget-exhausted")
        refused(await send(shop, await shop.key(), "LLLLL"), "batch-exceeds-burst")
        assert await shop.ledger.entries() == []
        await put_on(shop, 0)
        model.may_work.clear()
        running = asyncio.create_task(send(shop, nearly, "LLL", name="same-name"))
        await asyncio.to_thread(entered.wait, 10)
        await put_on(shop, 3)
        refused(await send(shop, nearly, "LLL", name="same-name"), "still-running")
        model.may_work.set()
        good(await running)

    plan = plan_of(ladder=LADDER, detectors=[], rate_per_s=1000, burst=4, budget=1000)
    play(ledger_url, story, plan, predict=predict)
