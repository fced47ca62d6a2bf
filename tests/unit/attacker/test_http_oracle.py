"""The HTTP client: what it sends, what it tries again, what it makes of every answer."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

import httpx
import numpy as np
import pytest

from attacker import http_oracle
from attacker.errors import (
    AccountSuspended,
    BadAnswer,
    BudgetExhausted,
    Draining,
    ExperimentError,
    OracleError,
    QueueFull,
    RateLimited,
    UnknownAnswer,
    VictimUnreachable,
)
from attacker.http_oracle import HttpOracle
from shared.audio import from_npy, to_npy
from shared.contract import CLASSIFY_PATH, MODEL_PATH, NPY_MEDIA_TYPE
from shared.errors import PROBLEM_MEDIA_TYPE, PROBLEMS

SECRET = "lab_1_supersecretsupersecret_9"
CARD = {
    "labels": ["a", "b", "c"],
    "sample_rate_hz": 4000,
    "clip_samples": 8,
    "label_mode": "soft",
    "checkpoint": "c",
    "max_batch_clips": 64,
}
CLIPS = np.arange(16, dtype=np.int16).reshape(2, 8)
ROWS = np.array([[0.2, 0.5, 0.3], [1, 0, 0]], dtype=np.float32)
T = TypeVar("T")


class Service:
    """A victim made of prepared answers to `classify`, the last of which repeats."""

    def __init__(self, *answers: httpx.Response | Exception, card: dict[str, Any] = CARD) -> None:
        self.answers, self.card = list(answers), card
        self.requests: list[httpx.Request] = []
        self.events: list[tuple[str, dict[str, Any]]] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == MODEL_PATH:
            return httpx.Response(200, json=self.card)
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def oracle(self, patience_s: float = 3.0) -> HttpOracle:
        return HttpOracle(
            "http://127.0.0.1:9",
            SECRET,
            patience_s=patience_s,
            on_event=lambda name, facts: self.events.append((name, facts)),
            transport=httpx.MockTransport(self.handle),
        )

    def ask(self, patience_s: float = 3.0) -> np.ndarray:
        return run(self.oracle(patience_s), lambda oracle: oracle.classify(CLIPS, "key-0001"))


def run(oracle: HttpOracle, question: Callable[[HttpOracle], Awaitable[T]]) -> T:
    async def ask() -> T:
        async with oracle:
            return await question(oracle)

    return asyncio.run(ask())


def answered(array: np.ndarray = ROWS) -> httpx.Response:
    return httpx.Response(200, content=to_npy(array), headers={"Content-Type": NPY_MEDIA_TYPE})


def problem(code: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    row = PROBLEMS[code]
    document = {"type": row.type_uri, "title": row.title, "status": row.status, "detail": "why"}
    content = json.dumps({**document, "code": code, **more}).encode()
    headers = {"Content-Type": PROBLEM_MEDIA_TYPE, **(headers or {})}
    return httpx.Response(row.status, content=content, headers=headers)


def test_a_batch_goes_out_as_int16_npy_under_its_key_and_comes_back_as_npy() -> None:
    service = Service(answered())
    assert np.array_equal(service.ask(), ROWS)
    (request,) = service.requests
    assert request.url.path == CLASSIFY_PATH
    assert request.headers["Idempotency-Key"] == "key-0001"
    assert request.headers["Authorization"] == f"Bearer {SECRET}"
    assert request.headers["Content-Type"] == request.headers["Accept"] == NPY_MEDIA_TYPE
    sent = from_npy(request.content, max_bytes=1000)
    assert sent.dtype == np.int16
    assert np.array_equal(sent, CLIPS)


def test_hard_labels() -> None:
    service = Service(answered(np.array([2, 0])), card={**CARD, "label_mode": "hard"})
    assert service.ask().tolist() == [2, 0]


@pytest.mark.parametrize("label_mode", ["soft", "top_k", "rounded", "temperature"])
def test_every_other_label_mode_answers_rows(label_mode: str) -> None:
    rounded = np.array([[0.3, 0.3, 0.4], [0.0, 0.0, 1.0]], dtype=np.float32)
    service = Service(answered(rounded), card={**CARD, "label_mode": label_mode})
    assert np.array_equal(service.ask(), rounded)


RETRYABLE = [row.code for row in PROBLEMS.values() if row.retryable]


@pytest.mark.parametrize("code", RETRYABLE)
def test_a_passing_problem_is_tried_again_with_the_same_key_and_bytes(code: str) -> None:
    service = Service(problem(code, {"Retry-After": "0"}), answered())
    assert np.array_equal(service.ask(), ROWS)
    first, second = service.requests
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.content == second.content
    assert ("refusal", {"code": code, "detail": "why", "retry_after_s": 0.0}) in service.events


@pytest.mark.parametrize("code", [row.code for row in PROBLEMS.values() if not row.retryable])
def test_a_lasting_problem_is_raised_at_once(code: str) -> None:
    service = Service(problem(code, {"Retry-After": "0"}))
    with pytest.raises(OracleError, match=code):
        service.ask()
    assert len(service.requests) == 1


@pytest.mark.parametrize("code", ["queue-full", "rate-limited"])
@pytest.mark.parametrize("form", ["seconds", "date", "document"])
def test_retry_after_is_waited_for(code: str, form: str) -> None:
    at = datetime.now(UTC) + timedelta(seconds=2)  # dates are cut to whole seconds
    headers = {"seconds": "1", "date": format_datetime(at, usegmt=True)}.get(form)
    refusal = problem(code, {"Retry-After": headers}) if headers else problem(code, retry_after_s=1)
    service = Service(refusal, answered())
    started = time.monotonic()
    service.ask(patience_s=5)
    assert 0.9 < time.monotonic() - started < 3


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("no"), httpx.ReadError("cut"), httpx.ReadTimeout("late")]
)
def test_a_broken_connection_is_tried_again(error: Exception) -> None:
    service = Service(error, answered())
    assert np.array_equal(service.ask(), ROWS)
    assert len(service.requests) == 2
    assert service.events == [("retry", {"because": type(error).__name__})]


def test_a_gateway_without_a_victim_is_tried_again() -> None:
    service = Service(httpx.Response(502, text="<html>bad gateway</html>"), answered())
    assert np.array_equal(service.ask(), ROWS)


def test_patience_ends_and_the_message_says_where_it_looked_and_what_to_start() -> None:
    service = Service(httpx.ConnectError("no"))
    started = time.monotonic()
    with pytest.raises(VictimUnreachable) as caught:
        service.ask(patience_s=1)
    assert 0.8 < time.monotonic() - started < 4
    assert "http://127.0.0.1:9" in str(caught.value)
    assert "earshot-victim serve" in str(caught.value)
    assert len(service.requests) > 2


def test_a_problem_that_never_passes_ends_as_itself() -> None:
    service = Service(problem("queue-full", {"Retry-After": "60"}))
    started = time.monotonic()
    with pytest.raises(QueueFull):
        service.ask(patience_s=1)
    assert time.monotonic() - started < 4
    with pytest.raises(Draining):
        Service(problem("draining")).ask(patience_s=0.5)


def test_waiting_for_the_rate_limit_does_not_wear_out_patience() -> None:
    refusals = [problem("rate-limited", {"Retry-After": "0.4"})] * 4
    service = Service(*refusals, answered())
    assert np.array_equal(service.ask(patience_s=0.5), ROWS)
    assert len(service.requests) == 5


@pytest.mark.parametrize("form", ["seconds", "date", "document"])
def test_a_wait_for_the_rate_that_is_longer_than_patience_is_not_begun(form: str) -> None:
    at = datetime.now(UTC) + timedelta(seconds=51_840)
    headers = {"seconds": "51840", "date": format_datetime(at, usegmt=True)}.get(form)
    more: dict[str, Any] = {} if headers else {"retry_after_s": 51_840}
    service = Service(
        problem("rate-limited", {"Retry-After": headers} if headers else None, **more)
    )
    started = time.monotonic()
    with pytest.raises(RateLimited) as caught:
        service.ask(patience_s=5)
    assert time.monotonic() - started < 3
    assert caught.value.retry_after_s == pytest.approx(51_840, abs=5)
    assert len(service.requests) == 1
    assert [name for name, _ in service.events] == ["refusal"]


def test_a_wait_for_the_rate_is_told() -> None:
    service = Service(problem("rate-limited", {"Retry-After": "0.1"}), answered())
    service.ask()
    assert ("retry", {"because": "rate-limited", "wait_s": 0.1}) in service.events


@pytest.mark.parametrize("lost", [True, False])
def test_a_refusal_says_whether_the_request_was_sent_before(lost: bool) -> None:
    before = [httpx.ReadError("the answer was lost")] if lost else []
    service = Service(*before, problem("account-suspended"))
    with pytest.raises(AccountSuspended) as caught:
        service.ask()
    assert caught.value.perhaps_paid is lost
    assert len(service.requests) == 1 + lost


def test_first_contact_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_oracle, "FIRST_CONTACT_S", 0.5)
    oracle = HttpOracle("http://127.0.0.1:9", SECRET)  # nothing listens on the discard port
    started = time.monotonic()
    with pytest.raises(VictimUnreachable, match=r"127\.0\.0\.1:9"):
        run(oracle, lambda oracle: oracle.card())
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (answered(ROWS[:1]), "not \\(2, 3\\) floats"),
        (answered(ROWS[:, :2]), "not \\(2, 3\\) floats"),
        (answered(np.array([0])), "not 2 labels"),
        (answered(np.array([0, 3])), "label outside"),
        (answered(np.array([0.0, 1.0])), "not \\(2, 3\\) floats"),
        (answered(ROWS * np.float32(np.nan)), "no probabilities"),
        (answered(np.full((2, 3), np.inf, np.float32)), "no probabilities"),
        (answered(ROWS * -1), "no probabilities"),
        (answered(ROWS * 2), "no probabilities"),
        (answered(ROWS * 0), "nothing but zeros"),
        (httpx.Response(200, content=b"\x93NUMPY"), "not the npy array"),
        (httpx.Response(200, content=b"x" * 100_000), "not the npy array"),
    ],
)
def test_a_bad_answer_is_not_used(answer: httpx.Response, words: str) -> None:
    with pytest.raises(BadAnswer, match=words):
        Service(answer).ask()


def test_labels_of_a_victim_that_says_soft_are_kept_for_what_they_tell() -> None:
    service = Service(answered(np.array([2, 0])))
    found = service.ask()
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert [name for name, _ in service.events] == ["labels-only"]


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [0]])
def test_a_bad_hard_answer_is_not_used(labels: list[int]) -> None:
    service = Service(answered(np.array(labels)), card={**CARD, "label_mode": "hard"})
    with pytest.raises(BadAnswer):
        service.ask()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, text="nothing here"),
        httpx.Response(302, headers={"Location": "http://elsewhere/"}),
        httpx.Response(500, text="oops"),
        httpx.Response(402, content=b"{}", headers={"Content-Type": PROBLEM_MEDIA_TYPE}),
    ],
)
def test_something_that_is_no_victim_is_told_apart(answer: httpx.Response) -> None:
    with pytest.raises(UnknownAnswer, match="--url"):
        Service(answer).ask()


def test_a_card_of_something_else_is_no_card() -> None:
    with pytest.raises(UnknownAnswer):
        Service(answered(), card={"model": "gpt"}).ask()


def test_an_exhausted_budget_says_what_remains() -> None:
    with pytest.raises(BudgetExhausted) as caught:
        Service(problem("budget-exhausted", remaining=1)).ask()
    assert caught.value.remaining == 1
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("url", ["127.0.0.1:8765", "localhost", "ftp://x", "http://", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ExperimentError, match="http://127"):
        HttpOracle(url, SECRET)


def test_the_key_is_in_no_repr_message_or_event() -> None:
    service = Service(problem("invalid-key"))
    oracle = service.oracle()
    with pytest.raises(OracleError) as caught:
        run(oracle, lambda oracle: oracle.classify(CLIPS, "key-0001"))
    shown = [repr(oracle), str(oracle), repr(oracle._client.headers), repr(caught.value)]
    assert SECRET not in " ".join([*shown, str(service.events)])
