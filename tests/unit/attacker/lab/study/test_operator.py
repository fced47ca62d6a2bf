"""The operator's client of a study: what it asks for beside plans, and how long it tries."""

import json
from collections.abc import Callable

import httpx
import pytest

from attacker.errors import LedgerUnreachable, MalformedRequest, UnknownAnswer, VictimUnreachable
from attacker.lab.study.operator import Operator
from shared.errors import PROBLEM_MEDIA_TYPE

KEY = "lab_0123456789ab_secret"
INFO = {
    "key_id": "0123456789ab", "account": "a", "plan": "p", "scope": "query", "budget": 7,
    "issued_at": 1.0, "state": "valid",
}  # fmt: skip
USAGE = {
    "account": "a", "spent": 3, "queries": 1, "audited": 0, "cost": 0.3, "budget": 7,
    "remaining": 4, "last_at": None, "keys": [],
}  # fmt: skip
Answer = Callable[[httpx.Request], httpx.Response]


def operator(answer: Answer, patience_s: float = 0.5) -> Operator:
    transport = httpx.MockTransport(answer)
    return Operator("http://victim", KEY, patience_s=patience_s, transport=transport)


def problem(status: int, code: str, detail: str) -> httpx.Response:
    document = {"type": "t", "title": "T", "status": status, "detail": detail, "code": code}
    headers = {"Content-Type": PROBLEM_MEDIA_TYPE}
    return httpx.Response(status, content=json.dumps(document), headers=headers)


def test_keys_and_accounts_are_told_by_their_names() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/keys"):
            return httpx.Response(200, json={"keys": [INFO]})
        return httpx.Response(200, json={"accounts": [USAGE]})

    with operator(answer) as found:
        assert found.keys()["0123456789ab"].budget == 7
        assert found.accounts()["a"].cost == pytest.approx(0.3)


def test_what_passes_is_tried_again_and_a_refusal_is_told_at_once() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        if len(asked) == 1:
            raise httpx.ConnectError("being restarted")
        if len(asked) == 2:
            return problem(503, "ledger-unreachable", "gone")
        return problem(400, "malformed-request", "body: defences: no")

    with pytest.raises(MalformedRequest, match="body: defences: no"):
        operator(answer, patience_s=30).put_plan({"name": "p"})
    assert asked == ["PUT"] * 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda request: problem(503, "ledger-unreachable", "gone"), LedgerUnreachable),
        (lambda request: httpx.Response(200, json={"no": "keys"}), UnknownAnswer),
        (lambda request: problem(400, "never-heard-of", "x"), UnknownAnswer),
    ],
)
def test_what_stays_wrong_is_told_in_the_end(answer: Answer, error: type[Exception]) -> None:
    with pytest.raises(error):
        operator(answer).keys()


def test_who_does_not_answer_is_named_and_the_key_is_not() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    client = operator(answer)
    with pytest.raises(VictimUnreachable, match="http://victim") as error:
        client.accounts()
    assert KEY not in f"{error.value} {client!r}"
