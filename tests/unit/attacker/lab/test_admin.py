"""The operator's client against answers that a victim might give."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from attacker.errors import UnknownAnswer, VictimUnreachable, WrongScope
from attacker.lab.admin import AdminClient
from shared.errors import PROBLEM_MEDIA_TYPE

Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer) -> AdminClient:
    transport = httpx.MockTransport(answer)
    return AdminClient("http://victim:1", "ek_secret", patience_s=0.5, transport=transport)


def problem(code: str, status: int) -> httpx.Response:
    document = {"type": "t", "title": "t", "status": status, "detail": "no", "code": code}
    return httpx.Response(status, json=document, headers={"Content-Type": PROBLEM_MEDIA_TYPE})


def reading(number: int, **changes: Any) -> dict[str, Any]:
    facts = {"id": str(number), "at": 1.0, "detector": "prada", "query": 50 * number}
    return {**facts, "score": 0.5, "threshold": 0.9, "alarm": False, **changes}


def test_readings_are_fetched_page_by_page_and_each_once() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        first = int(request.url.params.get("after", 0)) + 1
        page = [reading(n) for n in range(first, min(first + 1000, 2301))]
        return httpx.Response(200, json={"readings": page})

    found = client(answer).readings("alice")
    assert [int(one.id) for one in found] == list(range(1, 2301))
    assert [one.get("after") for one in asked] == [None, "1000", "2000"]


def test_a_server_that_repeats_its_page_does_not_hold_the_client_for_ever() -> None:
    page = [reading(n) for n in range(1000)]
    found = client(lambda request: httpx.Response(200, json={"readings": page})).readings("alice")
    assert len(found) == 2000


def test_an_account_that_nothing_watches_has_no_readings() -> None:
    assert client(lambda request: problem("not-found", 404)).readings("alice") == []


def test_a_plan_is_put_under_its_own_name_and_a_key_is_ordered_for_it() -> None:
    sent = {}

    def answer(request: httpx.Request) -> httpx.Response:
        sent[request.method] = (request.url.path, json.loads(request.content or b"{}"))
        assert request.headers["authorization"] == "Bearer ek_secret"
        if request.method == "PUT":
            facts = {"name": "cell-1", "version": 3, "source": "admin:x", "at": 1.0}
            return httpx.Response(200, json={**facts, "plan": sent["PUT"][1]})
        info = {"key_id": "a", "account": "bob", "plan": "cell-1", "scope": "query"}
        info |= {"budget": 7, "issued_at": 0.0, "state": "valid"}
        return httpx.Response(201, json={"key": "ek_new", "info": info})

    admin = client(answer)
    assert admin.put_plan({"name": "cell-1", "label_mode": "soft"}).version == 3
    assert admin.issue_key("bob", "cell-1", budget=7).key == "ek_new"
    assert sent["PUT"] == ("/v1/admin/plans/cell-1", {"name": "cell-1", "label_mode": "soft"})
    order = {"account": "bob", "plan": "cell-1", "scope": "query", "budget": 7}
    assert sent["POST"] == ("/v1/admin/keys", order)


def test_refusals_have_their_own_exceptions_and_hold_no_key() -> None:
    with pytest.raises(WrongScope) as refused:
        client(lambda request: problem("wrong-scope", 403)).usage("alice")
    assert "ek_secret" not in str(refused.value)
    with pytest.raises(UnknownAnswer, match="--url"):
        client(lambda request: httpx.Response(200, text="<html>")).usage("alice")

    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(VictimUnreachable, match="earshot-victim serve"):
        client(fail).plan("soft")
    assert "ek_secret" not in repr(client(fail))
