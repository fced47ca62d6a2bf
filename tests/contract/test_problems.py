"""The server's half of the promise that each wire problem is one exception: each can be sent,
each is in the OpenAPI document, and nothing but problem documents ever reports an error."""

import ast
import asyncio
import json

import pytest

from shared.contract import ProblemDocument
from shared.errors import PROBLEM_MEDIA_TYPE, PROBLEMS
from tests.support.apps import open_shop
from tests.support.victims import ROOT
from victim_service.api.problems import problem_response
from victim_service.errors import Refusal


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_each_problem_makes_one_document(code):
    response = problem_response(Refusal(code, retry_after_s=1.2, remaining=3))
    document = ProblemDocument.model_validate_json(response.body)
    problem = PROBLEMS[code]
    assert response.status_code == document.status == problem.status
    assert response.media_type == PROBLEM_MEDIA_TYPE
    assert (document.code, document.type, document.title) == (code, problem.type_uri, problem.title)
    assert document.detail
    assert document.remaining == 3
    expected = "2" if problem.retryable else None
    assert response.headers.get("retry-after") == expected
    assert document.retry_after_s == (2 if problem.retryable else None)


def test_no_refusal_is_charged():
    assert not [problem.code for problem in PROBLEMS.values() if problem.charged]


def test_a_wait_of_less_than_a_second_is_rounded_up_to_one():
    for wait in (0.0, 0.001, None):
        response = problem_response(Refusal("rate-limited", retry_after_s=wait))
        assert response.headers["retry-after"] == "1"


def codes_in_source():
    """Every problem code that the service's source names in a Refusal."""
    found = set()
    for path in (ROOT / "victim_service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refusal":
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant):
                    found.add(first.value)
    return found


def test_every_code_in_the_source_is_in_the_table():
    found = codes_in_source()
    assert len(found) >= 15
    assert found <= set(PROBLEMS)


@pytest.fixture(scope="module")
def openapi(tmp_path_factory):
    async def read():
        async with open_shop(tmp_path_factory.mktemp("openapi")) as shop:
            return (await shop.get("/openapi.json")).json()

    return asyncio.run(read())


def test_the_openapi_document_describes_every_problem(openapi):
    text = json.dumps(openapi)
    framework = {"not-found", "method-not-allowed"}
    assert not [code for code in PROBLEMS if f"`{code}`" not in text and code not in framework]


def test_every_described_error_is_a_problem_document(openapi):
    assert openapi["components"]["schemas"]["ProblemDocument"]["properties"]["code"]
    operations = [item for path in openapi["paths"].values() for item in path.values()]
    assert len(operations) >= 5
    for operation in operations:
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == [PROBLEM_MEDIA_TYPE], status


def test_sold_operations_name_their_key(openapi):
    for path, item in openapi["paths"].items():
        for operation in item.values():
            assert bool(operation.get("security")) == path.startswith("/v1/"), path


def test_the_frameworks_own_errors_are_problems_too(tmp_path):
    async def story():
        async with open_shop(tmp_path) as shop:
            missing = await shop.get("/v1/nothing")
            wrong = await shop.client.delete("/v1/classify")
            return missing, wrong

    missing, wrong = asyncio.run(story())
    assert missing.json()["code"] == "not-found"
    assert wrong.json()["code"] == "method-not-allowed"
    assert wrong.headers["allow"] == "POST"
    for response in (missing, wrong):
        assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE


def test_a_fault_of_the_service_tells_nothing_of_itself(tmp_path, monkeypatch):
    async def story():
        async with open_shop(tmp_path) as shop:
            key = await shop.key()

            async def broken(*_):
                raise RuntimeError("a secret detail")

            monkeypatch.setattr(shop.parts.ledger, "standing", broken)
            return await shop.get("/v1/account", key)

    response = asyncio.run(story())
    assert response.json()["code"] == "internal"
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    assert "secret" not in response.text
