"""The operator's client: what it sends, what it makes of answers, and what it never tells."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from attacker.errors import (
    ExperimentError,
    LedgerUnreachable,
    MalformedRequest,
    UnknownAnswer,
    VictimUnreachable,
)
from attacker.lab.admin import Admin
from shared.errors import PROBLEM_MEDIA_TYPE

KEY = "lab_0123456789ab_secret"
INFO = {
    "key_id": "0123456789ab", "account": "a", "plan": "p", "scope": "query", "budget": 7,
    "issued_at": 1.0, "state": "valid",
}  # fmt: skip
Answer = Callable[[httpx.Request], httpx.Response]


def admin(answer: Answer, patience_s: float = 0.5) -> Admin:
    transport = httpx.MockTransport(answer)
    return Admin("http://victim", KEY, patience_s=patience_s, transport=transport)


def problem(status: int, code: str, detail: str) -> httpx.Response:
    document = {"type": "t", "title": "T", "status": status, "detail": detail, "code": code}
    return httpx.Response(
        status, content=json.dumps(document), headers={"Content-Type": PROBLEM_MEDIA_TYPE}
    )


def test_what_is_sent_is_what_the_routes_take() -> None:
    seen: list[tuple[str, str, Any, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        seen.append((request.method, request.url.path, body, request.headers["authorization"]))
        if request.method == "PUT":
            version = {"name": "p", "version": 1, "source": "admin:x", "at": 1.0, "plan": body}
            return httpx.Response(200, json=version)
        return httpx.Response(201, json={"key": "lab_k_s", "info": INFO})

    with admin(answer) as client:
        assert client.put_plan("p", {"label_mode": "hard"}).version == 1
        assert client.issue_key("a", "p", 7).key == "lab_k_s"
    assert [one[:3] for one in seen] == [
        ("PUT", "/v1/admin/plans/p", {"label_mode": "hard"}),
        ("POST", "/v1/admin/keys", {"account": "a", "plan": "p", "scope": "query", "budget": 7}),
    ]
    assert {one[3] for one in seen} == {f"Bearer {KEY}"}


def test_keys_and_accounts_are_told_by_their_names() -> None:
    usage = {
        "account": "a", "spent": 3, "queries": 1, "audited": 0, "cost": 0.3, "budget": 7,
        "remaining": 4, "last_at": None, "keys": [],
    }  # fmt: skip

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/keys"):
            return httpx.Response(200, json={"keys": [INFO]})
        if request.url.path.endswith("/a"):
            return httpx.Response(200, json=usage)
        return httpx.Response(200, json={"accounts": [usage]})

    client = admin(answer)
    assert client.keys()["0123456789ab"].budget == 7
    assert client.account("a") == client.accounts()["a"]
    assert client.account("a").cost == pytest.approx(0.3)


def test_a_refusal_is_told_at_once_and_a_passing_one_is_tried_again() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if len(asked) == 1:
            return problem(503, "ledger-unreachable", "gone")
        return problem(400, "malformed-request", "body: defences: no")

    with pytest.raises(MalformedRequest, match="body: defences: no"):
        admin(answer, patience_s=10).put_plan("p", {})
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda request: problem(503, "ledger-unreachable", "gone"), LedgerUnreachable),
        (lambda request: httpx.Response(200, json={"no": "keys"}), UnknownAnswer),
        (lambda request: httpx.Response(404, text="<html>"), UnknownAnswer),
        (lambda request: problem(400, "never-heard-of", "x"), UnknownAnswer),
    ],
)
def test_what_cannot_be_used_is_an_error_of_ours(answer: Answer, error: type[Exception]) -> None:
    with pytest.raises(error):
        admin(answer).keys()


def test_who_does_not_answer_is_named_and_the_key_is_not() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    client = admin(answer)
    with pytest.raises(VictimUnreachable, match="http://victim") as error:
        client.keys()
    assert KEY not in f"{error.value} {client!r}"
    with pytest.raises(ExperimentError, match="no address"):
        Admin("victim:80", KEY)
