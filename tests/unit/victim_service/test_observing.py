"""Watching accounts on the wire: what is seen, once, and how alarms climb and change answers."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.apps import SAMPLES, Shop, loudness_model, open_shop
from tests.support.detectors import Loud, NothingFitted
from tests.support.watched import LADDER, NOWHERE, good, plan_of, play, put_on, refused, send
from victim_service.account_state import AccountState
from victim_service.observing import Observing, Reading, climb
from victim_service.remembered import RING, Remembered

pytestmark = pytest.mark.usefixtures("loud_detector")


async def state(shop: Shop, account: str = "alice") -> AccountState:
    return AccountState.read(await shop.ledger.account_state(account))


async def told(shop: Shop, kind: Any) -> list[dict[str, Any]]:
    return [json.loads(note.text) for note in await shop.ledger.notes("alice", kind)]


# ------------------------------------------------------------------------------------- what is seen


def test_windows_close_wherever_batches_are_cut(ledger_url):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        stream = "LLLqqqLLLLqLqqqqL"
        for start, stop in ((0, 5), (5, 6), (6, 7), (7, 15), (15, 17)):
            good(await send(shop, key, stream[start:stop]))
        readings = await told(shop, "reading")
        scores = [stream[at : at + 4].count("L") / 4 for at in (0, 4, 8, 12)]
        assert [one["score"] for one in readings] == scores
        assert [one["query"] for one in readings] == [4, 8, 12, 16]
        assert [one["alarm"] for one in readings] == [score > 0.5 for score in scores]
        assert sum(score > 0.5 for score in scores) == 2
        found = Remembered.read(await shop.ledger.watched("alice"))
        assert (found.state.queries, found.state.alarms, found.state.rung) == (17, 0, 1)
        (memory,) = found.memories.values()
        assert set(memory) == {"loud", "a/b"}
        assert np.asarray(memory["a/b"])[0, 0] == 17
        metrics = (await shop.get("/metrics")).text
        assert 'victim_detector_windows_total{detector="loud"} 4.0' in metrics
        assert 'victim_detector_alarms_total{detector="loud"} 2.0' in metrics
        assert 'victim_ladder_steps_total{rung="1"} 1.0' in metrics

    play(ledger_url, story)


def test_a_query_is_seen_once_however_often_it_is_sent(ledger_url):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        first = await send(shop, key, "LLL", name="same-name")
        again = await send(shop, key, "LLL", name="same-name")
        assert again.headers["idempotency-replayed"] == "true"
        assert again.content == first.content
        assert (await state(shop)).queries == 3
        kept = await shop.ledger.watched("alice")
        assert len(Remembered.read(kept).queries) == 1

    play(ledger_url, story)


def test_a_query_that_failed_after_it_was_seen_is_not_seen_again(ledger_url, monkeypatch):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        commit = shop.ledger.commit

        async def broken(*_: Any) -> None:
            raise RuntimeError("lost")

        monkeypatch.setattr(shop.ledger, "commit", broken)
        refused(await send(shop, key, "LLL", name="same-name"), "internal")
        monkeypatch.setattr(shop.ledger, "commit", commit)
        await asyncio.sleep(0.4)
        good(await send(shop, key, "LLL", name="same-name"))
        assert (await state(shop)).queries == 3
        assert await shop.spent(key) == 3

    play(ledger_url, story, lease_s=0.3)


def test_the_ring_of_names_is_bounded(ledger_url):
    async def story(shop: Shop) -> None:
        key = await shop.key(budget=1000)
        for _ in range(RING + 6):
            good(await send(shop, key, "q"))
        found = Remembered.read(await shop.ledger.watched("alice"))
        assert (len(found.queries), found.state.queries) == (RING, RING + 6)

    play(ledger_url, story, plan_of())


def test_replicas_share_one_stream(ledger_url):
    async def story(shop: Shop) -> None:
        async with open_shop(
            NOWHERE, ledger_url=ledger_url, plans={}, reference=NothingFitted()
        ) as other:
            keys = [await shop.key(budget=1000) for _ in range(2)]
            sent = [
                send((shop, other)[number % 2], keys[number % 2], "Lqq"[: 1 + number % 3])
                for number in range(36)
            ]
            for answer in await asyncio.gather(*sent):
                good(answer)
            found = Remembered.read(await shop.ledger.watched("alice"))
            assert found.state.queries == 72
            (memory,) = found.memories.values()
            assert np.asarray(memory["a/b"])[0, 0] == 72
            readings = await told(shop, "reading")
            assert [one["query"] for one in readings] == list(range(4, 73, 4))

    play(ledger_url, story, plan_of())


def test_a_restart_goes_on_where_the_stream_was(ledger_url):
    async def first(shop: Shop) -> None:
        good(await send(shop, await shop.key(), "LL"))

    async def second(shop: Shop) -> None:
        good(await send(shop, await shop.key(), "Lq"))
        assert [one["score"] for one in await told(shop, "reading")] == [0.75]

    play(ledger_url, first)
    play(ledger_url, second)


def test_refused_queries_and_audits_are_not_seen(ledger_url):
    async def story(shop: Shop) -> None:
        key = await shop.key(budget=2)
        refused(await send(shop, key, "LLLL"), "budget-exhausted")
        good(await send(shop, await shop.key(scope="audit"), "LLLL"))
        assert (await shop.ledger.watched("alice")).version == 0

    play(ledger_url, story)


def test_a_plan_without_detectors_or_ladder_asks_the_ledger_nothing_more(ledger_url, monkeypatch):
    async def story(shop: Shop) -> None:
        key = await shop.key()

        async def never(*_: Any) -> None:
            raise AssertionError("the ledger was asked")

        for name in ("account_state", "watched", "keep_watched"):
            monkeypatch.setattr(shop.ledger, name, never)
        good(await send(shop, key, "LLLL"))

    play(ledger_url, story, plan_of(detectors=[]))


def test_embeddings_beside_the_probabilities_reach_the_detector_and_nobody_else(
    ledger_url, monkeypatch
):
    met: list[tuple[int, ...]] = []
    extend = Loud.extend

    def spy(self: Loud, memory: Any, seen: Any) -> Any:
        met.append((seen.embeddings.shape[1], seen.probabilities.shape[1], seen.clips.shape[1]))
        np.testing.assert_array_equal(seen.embeddings, seen.clips[:, :7])
        return extend(self, memory, seen)

    def with_embeddings(clips: np.ndarray) -> np.ndarray:
        return np.concatenate([loudness_model(clips), clips[:, :7]], axis=1)

    monkeypatch.setattr(Loud, "extend", spy)

    async def story(shop: Shop) -> None:
        answer = good(await send(shop, await shop.key(), "LqLqL"))
        assert answer.shape == (5, 4)
        assert set(met) == {(7, 4, SAMPLES)}

    play(ledger_url, story, predict=with_embeddings)


def test_a_plan_whose_detectors_cannot_run_sells_nothing(ledger_url):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        assert "operator" in refused(await send(shop, key, "L"), "internal")["detail"]
        assert await shop.spent(key) == 0

    play(ledger_url, story, reference=None)


def test_who_always_comes_second_is_refused_and_pays_nothing(ledger_url, monkeypatch):
    async def story(shop: Shop) -> None:
        key = await shop.key()

        async def conflict(*_: Any) -> bool:
            return False

        monkeypatch.setattr(shop.ledger, "keep_watched", conflict)
        refused(await send(shop, key, "L"), "ledger-unreachable")
        monkeypatch.undo()
        assert await shop.spent(key) == 0

    play(ledger_url, story)


# ---------------------------------------------------------------------------- what alarms lead to


def reading(alarm: bool, query: int = 4) -> Reading:
    return Reading("loud", query, 0.9, 0.5, alarm)


def test_alarms_climb_step_by_step_and_each_step_has_its_reason():
    ladder = plan_of(ladder={**LADDER, "alarms": 2}).ladder
    start = AccountState(alarms=1, queries=40)
    after, steps = climb(ladder, start, [reading(False), reading(True, 8), reading(True, 12)])
    assert (after.rung, after.alarms, after.queries) == (1, 1, 40)
    (step,) = steps
    assert (step.before, step.after, step.by) == (0, 1, "detectors")
    assert step.reason == "loud at clip 8: 0.9 is above 0.5; alarm 2 of 2"
    after, steps = climb(ladder, after, [reading(True)] * 30)
    assert (after.rung, [step.after for step in steps]) == (5, [2, 3, 4, 5])
    assert climb(None, start, [reading(True)])[0].alarms == 2


def test_an_account_climbs_to_the_end_of_its_ladder(ledger_url):
    ladder = {"alarms": 1, "steps": [LADDER["steps"][place] for place in (0, 1, 4)]}

    async def story(shop: Shop) -> None:
        key = await shop.key()
        spent = []
        for _ in range(3):
            answer = await send(shop, key, "LLLL")
            spent.append((await shop.spent(key), good(answer).ndim))
        assert spent == [(4, 2), (12, 2), (20, 1)]
        document = refused(await send(shop, key, "qqqq"), "account-suspended")
        assert document["status"] == 403
        assert await shop.spent(key) == 20
        steps = await told(shop, "step")
        assert [(step["from"], step["to"]) for step in steps] == [(0, 1), (1, 2), (2, 3)]
        assert steps[1]["reason"] == "loud at clip 8: 1 is above 0.5; alarm 1 of 1"
        assert await shop.ledger.verify() == []

    play(ledger_url, story, plan_of(ladder=ladder))


def test_a_replay_is_answered_under_the_rung_it_was_bought_on(ledger_url):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        first = await send(shop, key, "qqq", name="same-name")
        await put_on(shop, 2)
        again = await send(shop, key, "qqq", name="same-name")
        assert again.content == first.content
        hard = await send(shop, key, "qqq", name="hard-name")
        assert good(hard).ndim == 1
        assert await shop.spent(key) == 3 + 6
        await put_on(shop, 0)
        assert (await send(shop, key, "qqq", name="hard-name")).content == hard.content

    play(ledger_url, story)


def test_each_rung_asks_what_its_steps_say(ledger_url):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        await put_on(shop, 3)
        assert refused(await send(shop, key, "qqq"), "proof-required")["bits"] == 9 + 2
        assert await shop.spent(key) == 0
        await put_on(shop, 0)
        good(await send(shop, key, "q" * 16))
        await put_on(shop, 5)
        refused(await send(shop, key, "q"), "account-suspended")
        refused(await shop.post(key, b"nonsense", "audio/wav"), "account-suspended")

    play(ledger_url, story)


def test_a_throttled_account_gets_its_own_rate(ledger_url):
    ladder = {"alarms": 1, "steps": [LADDER["steps"][3]]}

    async def story(shop: Shop) -> None:
        key = await shop.key()
        good(await send(shop, key, "LLLL"))
        good(await send(shop, key, "qqqq"))
        refused(await send(shop, key, "q"), "rate-limited")
        refused(await send(shop, key, "qqqqq"), "batch-exceeds-burst")

    play(ledger_url, story, plan_of(ladder=ladder))


def test_a_ladder_is_the_accounts_and_its_steps_the_plans(ledger_url):
    async def story(shop: Shop) -> None:
        await put_on(shop, 5)
        refused(await send(shop, await shop.key(), "q"), "account-suspended")
        good(await send(shop, await shop.key(account="bob"), "q"))
        await shop.parts.plan_book.put(plan_of(name="free"), "file")
        good(await send(shop, await shop.key("free"), "q"))

    play(ledger_url, story)


def test_two_settings_of_one_detector_remember_apart(ledger_url):
    specs = [{"kind": "loud"}, {"kind": "loud", "window": 6, "threshold": 0.9}]

    async def story(shop: Shop) -> None:
        good(await send(shop, await shop.key(), "L" * 12))
        readings = await told(shop, "reading")
        assert [one["query"] for one in readings] == [4, 6, 8, 12, 12]
        found = Remembered.read(await shop.ledger.watched("alice"))
        assert len(found.memories) == 2

    play(ledger_url, story, plan_of(detectors=specs))


def test_what_is_remembered_survives_its_document():
    arrays = {"x": np.arange(6, dtype=np.float16).reshape(2, 3), "y": np.zeros((0, 2), np.int8)}
    one = Remembered(
        3, AccountState(rung=2, queries=9), (b"a" * 16, b"b" * 16), {"d": arrays, "e": {}},
        {"d": 3, "e": 0},
    )  # fmt: skip
    watched = type("W", (), {"version": 3, "memory": one.document, "state": one.state.text})
    again = Remembered.read(watched)
    assert replace(again, memories={}) == replace(one, memories={})
    assert set(again.memories) == {"d", "e"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(again.memories["d"][name], array)
        assert again.memories["d"][name].dtype == array.dtype
    watched.memory = b"nonsense"
    with pytest.raises(ValueError, match="damaged"):
        Remembered.read(watched)


def test_the_cache_of_accounts_is_bounded(ledger_url, monkeypatch):
    monkeypatch.setattr("victim_service.observing._CACHED_ACCOUNTS", 3)

    async def story(shop: Shop) -> None:
        keys = [await shop.key(account=f"a{number}") for number in range(6)]
        for key in keys + keys:
            good(await send(shop, key, "qq"))
        observing: Observing = shop.parts.observing
        assert len(observing._cache) == 3
        assert len(observing._turns) == 0
        for number in range(6):
            assert (await state(shop, f"a{number}")).queries == 4

    play(ledger_url, story)
