"""The wire, request by request, on an application in this process."""

import asyncio
import io
import re
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from shared.audio import from_npy
from shared.contract import ClassifyAnswer
from shared.errors import PROBLEM_MEDIA_TYPE, PROBLEMS
from tests.support.apps import NAMES, NPY, RATE_HZ, SAMPLES, Shop, loudness_model, open_shop
from tests.support.victims import make_clips
from victim_service.api import queries
from victim_service.errors import Refusal

Story = Callable[[Shop], Awaitable[None]]


def play(folder: Path, story: Story, **options: object) -> None:
    async def main() -> None:
        async with open_shop(folder, **options) as shop:
            await asyncio.wait_for(story(shop), 30)

    asyncio.run(main())


def problem(response: httpx.Response, code: str) -> dict[str, object]:
    document = response.json()
    assert document["code"] == code, document
    assert response.status_code == document["status"] == PROBLEMS[code].status
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    assert document["type"].endswith(code)
    assert ("retry-after" in response.headers) == PROBLEMS[code].retryable
    return document


def test_a_batch_is_answered_in_order_and_charged_by_the_clip(tmp_path):
    async def story(shop: Shop) -> None:
        key, clips = await shop.key(), make_clips(37, SAMPLES)
        response = await shop.send(key, clips)
        answer = from_npy(response.content, max_bytes=10_000)
        assert answer.dtype == np.float32
        rounded = np.rint(clips * 32768).clip(-32768, 32767).astype(np.float32) / 32768
        np.testing.assert_allclose(answer, loudness_model(rounded), atol=1e-6)
        assert await shop.spent(key) == 37

    play(tmp_path, story)


def test_one_clip_as_wav_or_flac_answers_the_speakers_name(tmp_path):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        answers = [await shop.post_wav(key)]
        flac = io.BytesIO()
        clip = np.rint(make_clips(1, SAMPLES)[0] * 32768).clip(-32768, 32767).astype(np.int16)
        soundfile.write(flac, clip, RATE_HZ, format="FLAC")
        answers.append(await shop.post(key, flac.getvalue(), "audio/flac"))
        for response in answers:
            assert response.status_code == 200
            (answer,) = ClassifyAnswer.model_validate_json(response.content).answers
            assert answer.name == NAMES[answer.label]
            assert sum(answer.probabilities) == pytest.approx(1)
        assert answers[0].content == answers[1].content
        assert await shop.spent(key) == 2

    play(tmp_path, story)


def test_a_long_json_answer_is_the_same_as_a_short_one(tmp_path, monkeypatch):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        short = await shop.send(key, 9, name="same-name", accept="application/json")
        monkeypatch.setattr(queries, "_LONG_ANSWER", 1)
        long = await shop.send(key, 9, name="same-name", accept="application/json")
        assert short.content == long.content
        assert len(long.json()["answers"]) == 9

    play(tmp_path, story)


def test_plans_decide_what_is_released(tmp_path):
    async def story(shop: Shop) -> None:
        top, hard = await shop.key("top2"), await shop.key("hard")
        row = from_npy((await shop.send(top)).content, max_bytes=1000)[0]
        assert np.count_nonzero(row) == 2
        assert row.sum() < 1
        labels = await shop.send(hard, 3)
        assert from_npy(labels.content, max_bytes=1000).dtype == np.int64
        assert "ratelimit" not in labels.headers
        card = (await shop.get("/v1/model", top)).json()
        assert (card["label_mode"], card["top_k"], card["labels"]) == ("top_k", 2, NAMES)

    play(tmp_path, story)


def test_headers_tell_rate_and_budget_as_structured_fields(tmp_path):
    async def story(shop: Shop) -> None:
        response = await shop.send(await shop.key(), 10)
        policy = response.headers["ratelimit-policy"]
        assert policy == '"rate";q=1000;w=1;qu="clips", "budget";q=100;qu="clips"'
        left = re.fullmatch(r'"rate";r=(\d+);t=\d+, "budget";r=90', response.headers["ratelimit"])
        assert left is not None
        assert 54 <= int(left[1]) <= 64

    play(tmp_path, story)


def test_a_replay_gives_the_answer_again_for_nothing(tmp_path):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        first = await shop.send(key, 7, name="same-name")
        again = await shop.send(key, 7, name="same-name")
        assert first.content == again.content
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        problem(await shop.send(key, 8, name="same-name"), "key-reused")
        other_key = await shop.key()
        assert (await shop.send(other_key, 7, name="same-name")).content == first.content
        assert await shop.spent(key) == 7
        assert await shop.spent(other_key) == 0

    play(tmp_path, story)


def test_a_batch_needs_an_idempotency_key_and_a_clip_does_not(tmp_path):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        one, two = (np.zeros((count, SAMPLES), dtype=np.int16) for count in (1, 2))
        body = io.BytesIO()
        np.save(body, two)
        problem(await shop.post(key, body.getvalue(), NPY), "idempotency-key-missing")
        body = io.BytesIO()
        np.save(body, one)
        assert (await shop.post(key, body.getvalue(), NPY)).status_code == 200
        assert (await shop.post(key, body.getvalue(), NPY)).status_code == 200
        for bad in ("short", "x" * 256, "with space"):
            refused = await shop.post(key, body.getvalue(), NPY, **{"idempotency-key": bad})
            problem(refused, "idempotency-key-malformed")
        assert await shop.spent(key) == 2

    play(tmp_path, story)


def test_a_clip_without_a_name_is_told_one_under_which_it_is_answered_again(tmp_path):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        first = await shop.post_wav(key)
        again = await shop.post_wav(key, **{"idempotency-key": first.headers["idempotency-key"]})
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json() == first.json()
        assert "idempotency-key" not in again.headers  # the client knows it
        assert await shop.spent(key) == 1

    play(tmp_path, story)


def test_a_clip_without_a_name_whose_commit_got_lost_is_paid_once_and_answered(
    tmp_path, monkeypatch
):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        commit = shop.ledger.commit

        async def lost(*asked: object) -> None:
            await commit(*asked)
            raise Refusal("ledger-unreachable", retry_after_s=1.0)

        with monkeypatch.context() as patched:
            patched.setattr(shop.ledger, "commit", lost)
            refused = await shop.post_wav(key)
        problem(refused, "ledger-unreachable")
        named = {"idempotency-key": refused.headers["idempotency-key"]}
        assert (await shop.post_wav(key, **named)).status_code == 200
        assert await shop.spent(key) == 1

    play(tmp_path, story)


def test_keys_and_scopes_guard_everything_that_is_sold(tmp_path):
    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin")
        for path in ("/v1/model", "/v1/account"):
            problem(await shop.get(path), "invalid-key")
            problem(await shop.get(path, "lab_nonsense"), "invalid-key")
            problem(await shop.get(path, admin), "wrong-scope")
        refused = await shop.send("lab_nonsense")
        assert problem(refused, "invalid-key")
        assert refused.headers["www-authenticate"] == "Bearer"
        problem(await shop.send(admin), "wrong-scope")
        basic = await shop.client.get("/v1/model", headers={"authorization": f"Basic {admin}"})
        problem(basic, "invalid-key")

    play(tmp_path, story)


def test_an_exhausted_budget_names_what_remains_and_does_not_ask_to_retry(tmp_path):
    async def story(shop: Shop) -> None:
        key = await shop.key(budget=10)
        await shop.send(key, 7)
        refused = await shop.send(key, 4)
        assert problem(refused, "budget-exhausted")["remaining"] == 3
        assert '"budget";r=3' in refused.headers["ratelimit"]
        assert (await shop.send(key, 3)).status_code == 200
        assert await shop.spent(key) == 10

    play(tmp_path, story)


def test_an_account_budget_binds_its_keys_together(tmp_path):
    async def story(shop: Shop) -> None:
        first, second = await shop.key("family"), await shop.key("family")
        assert (await shop.send(first, 6)).status_code == 200
        assert problem(await shop.send(second, 5), "budget-exhausted")["remaining"] == 4
        stranger = await shop.key("family", account="bob")
        assert (await shop.send(stranger, 5)).status_code == 200

    play(tmp_path, story)


def test_a_refused_rate_can_be_obeyed(tmp_path):
    async def story(shop: Shop) -> None:
        key = await shop.key("slow")
        assert (await shop.send(key, 4)).status_code == 200
        refused = await shop.send(key, 2)
        document = problem(refused, "rate-limited")
        assert document["retry_after_s"] == int(refused.headers["retry-after"]) == 1
        problem(await shop.send(key, 5), "batch-exceeds-burst")
        assert await shop.spent(key) == 4
        await asyncio.sleep(1)
        assert (await shop.send(key, 2)).status_code == 200

    play(tmp_path, story)


def test_an_audit_key_sees_everything_and_no_budget_sees_it(tmp_path):
    async def story(shop: Shop) -> None:
        audit = await shop.key(scope="audit", account="laboratory")
        for _ in range(4):
            response = await shop.send(audit, 64)
            assert from_npy(response.content, max_bytes=10_000).shape == (64, 4)
            assert "ratelimit" not in response.headers
        status = (await shop.get("/v1/account", audit)).json()
        assert (status["spent"], status["budget"], status["rate_per_s"]) == (0, None, None)
        (row,) = await shop.ledger.spend()
        assert (row.audited, row.spent) == (256, 0)
        assert await shop.ledger.verify() == []

    play(tmp_path, story)


def test_the_same_key_still_running_is_refused_and_later_replayed(tmp_path):
    opened, entered = threading.Event(), threading.Event()

    def model(clips: np.ndarray) -> np.ndarray:
        entered.set()
        opened.wait(10)
        return loudness_model(clips)

    async def story(shop: Shop) -> None:
        key = await shop.key()
        first = asyncio.create_task(shop.send(key, 3, name="same-name"))
        await asyncio.to_thread(entered.wait, 5)
        document = problem(await shop.send(key, 3, name="same-name"), "still-running")
        assert 25 <= document["retry_after_s"] <= 31  # the lease, and a margin for clocks
        opened.set()
        assert (await first).status_code == 200
        assert (await shop.send(key, 3, name="same-name")).headers["idempotency-replayed"]
        assert await shop.spent(key) == 3

    play(tmp_path, story, predict=model)


def test_a_failing_model_charges_nothing_and_a_retry_is_answered(tmp_path):
    broken = [True]

    def model(clips: np.ndarray) -> np.ndarray:
        if broken[0]:
            raise RuntimeError("out of memory")
        return loudness_model(clips)

    async def story(shop: Shop) -> None:
        key = await shop.key()
        problem(await shop.send(key, 3, name="same-name"), "model-failed")
        assert await shop.spent(key) == 0
        broken[0] = False
        assert (await shop.send(key, 3, name="same-name")).status_code == 200
        assert await shop.spent(key) == 3
        assert await shop.ledger.verify() == []

    play(tmp_path, story, predict=model)


def test_an_answer_that_comes_too_late_is_not_sold(tmp_path):
    opened = threading.Event()

    def model(clips: np.ndarray) -> np.ndarray:
        opened.wait(10)
        return loudness_model(clips)

    async def story(shop: Shop) -> None:
        key = await shop.key()
        problem(await shop.send(key, 3), "deadline-passed")
        assert await shop.spent(key) == 0
        opened.set()

    play(tmp_path, story, predict=model, answer_deadline_s=0.1)


def test_a_full_queue_refuses_without_charging(tmp_path):
    opened, entered = threading.Event(), threading.Event()

    def model(clips: np.ndarray) -> np.ndarray:
        entered.set()
        opened.wait(10)
        return loudness_model(clips)

    async def story(shop: Shop) -> None:
        key = await shop.key()
        first = asyncio.create_task(shop.send(key, 6))
        await asyncio.to_thread(entered.wait, 5)
        problem(await shop.send(key, 5), "queue-full")
        assert await shop.spent(key) == 6
        opened.set()
        assert (await first).status_code == 200

    play(tmp_path, story, predict=model, queue_clips=10)


def test_a_dead_model_turns_health_red(tmp_path):
    def model(clips: np.ndarray) -> np.ndarray:
        raise SystemExit

    async def story(shop: Shop) -> None:
        key = await shop.key()
        assert (await shop.get("/livez")).json() == {"status": "alive"}
        problem(await shop.send(key), "model-failed")
        begun = time.monotonic()
        problem(await shop.get("/livez"), "model-failed")
        problem(await shop.get("/readyz"), "model-failed")
        problem(await shop.send(key), "model-failed")
        assert time.monotonic() - begun < 2
        assert await shop.spent(key) == 0

    play(tmp_path, story, predict=model)


def test_a_draining_service_takes_nothing_new(tmp_path):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        assert (await shop.get("/readyz")).status_code == 200
        shop.parts.draining = True
        problem(await shop.send(key), "draining")
        problem(await shop.get("/readyz"), "draining")
        assert (await shop.get("/livez")).status_code == 200
        assert await shop.spent(key) == 0

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "application/json"),
        ("application/json, application/x-npy", "application/json"),
        ("application/json;q=0.5, application/x-npy", NPY),
        ("text/html, application/x-npy;q=0.1", NPY),
        ("text/html", None),
        ("application/json;q=0", None),
    ],
)
def test_the_answer_is_what_the_client_prefers(tmp_path, accept, expected):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        response = await shop.send(key, accept=accept)
        if expected is None:
            problem(response, "not-acceptable")
            assert await shop.spent(key) == 0
        else:
            assert response.headers["content-type"] == expected

    play(tmp_path, story)


def test_metrics_count_clips_and_refusals_and_name_nobody(tmp_path):
    async def story(shop: Shop) -> None:
        key = await shop.key(account="secret-account")
        await shop.send(key, 5)
        await shop.send("lab_nonsense")
        text = (await shop.get("/metrics")).text
        assert 'victim_clips_total{charged="yes",plan="soft"} 5.0' in text
        assert 'victim_refusals_total{code="invalid-key"} 1.0' in text
        assert "victim_batch_clips_count 1.0" in text
        assert "secret-account" not in text
        assert key.split("_")[1] not in text

    play(tmp_path, story)


def test_operators_see_spend_and_coverage_by_account_and_nobody_else_does(tmp_path):
    async def story(shop: Shop) -> None:
        key, admin = await shop.key(account="alice"), await shop.key("admin", scope="admin")
        answer = ClassifyAnswer.model_validate_json(
            (await shop.send(key, 5, accept="application/json")).content
        )
        problem(await shop.get("/v1/admin/metrics", key), "wrong-scope")
        problem(await shop.get("/v1/admin/metrics"), "invalid-key")
        page = await shop.get("/v1/admin/metrics", admin)
        assert page.headers["content-type"].startswith("text/plain")
        assert page.headers["cache-control"] == "no-store"
        assert 'victim_account_spent_clips{account="alice"} 5.0' in page.text
        seen = len({item.label for item in answer.answers}) / len(NAMES)
        assert f'victim_account_labels_seen_ratio{{account="alice"}} {seen}' in page.text

    play(tmp_path, story)


def test_every_answer_names_its_request(tmp_path):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        given = await shop.send(key, **{"x-request-id": "my-request.1"})
        assert given.headers["x-request-id"] == "my-request.1"
        for bad in ("a b", "x" * 65, "a/b"):
            made = await shop.send(key, **{"x-request-id": bad})
            assert re.fullmatch("[0-9a-f]{16}", made.headers["x-request-id"])

    play(tmp_path, story)


def test_bodies_hold_no_more_bytes_together_than_they_may(tmp_path):
    opened, entered = threading.Event(), threading.Event()

    def model(clips: np.ndarray) -> np.ndarray:
        entered.set()
        opened.wait(10)
        return loudness_model(clips)

    async def story(shop: Shop) -> None:
        key = await shop.key()
        first = asyncio.create_task(shop.send(key))
        await asyncio.to_thread(entered.wait, 5)
        problem(await shop.send(key), "queue-full")
        opened.set()
        assert (await first).status_code == 200
        assert (await shop.send(key)).status_code == 200

    play(tmp_path, story, predict=model, max_body_bytes_in_flight=1000)
