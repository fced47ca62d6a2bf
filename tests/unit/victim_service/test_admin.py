"""The operator's routes, request by request, on an application in this process."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import structlog

from shared import contract
from shared.errors import PROBLEM_MEDIA_TYPE, PROBLEMS
from tests.support.apps import PLANS, Shop, open_shop
from victim_service.errors import Refusal

Story = Callable[[Shop], Awaitable[None]]

KEYS, SOLD, ACCOUNTS = "/v1/admin/keys", "/v1/admin/plans", "/v1/admin/accounts"
OPERATIONS = [
    ("GET", KEYS, None),
    ("POST", KEYS, {"account": "zoe", "plan": "soft"}),
    ("DELETE", f"{KEYS}/{'0' * 12}", None),
    ("GET", SOLD, None),
    ("GET", f"{SOLD}/soft", None),
    ("PUT", f"{SOLD}/gold", {"label_mode": "hard"}),
    ("GET", ACCOUNTS, None),
    ("GET", f"{ACCOUNTS}/alice", None),
    ("GET", f"{ACCOUNTS}/alice/ladder", None),
    ("PUT", f"{ACCOUNTS}/alice/ladder", {"rung": 0, "reason": "a test"}),
    ("GET", f"{ACCOUNTS}/alice/readings", None),
    ("GET", "/v1/admin/metrics", None),
]


@pytest.fixture(params=["sqlite", "redis"])
def ledger_url(request, tmp_path):
    """Each backend in turn."""
    if request.param == "redis":
        return request.getfixturevalue("redis_url")
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


def play(folder: Path, story: Story, **options: object) -> None:
    async def main() -> None:
        async with open_shop(folder, **options) as shop:
            await asyncio.wait_for(story(shop), 30)

    asyncio.run(main())


async def call(
    shop: Shop, key: str | None, method: str, path: str, body: object = None
) -> httpx.Response:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return await shop.client.request(method, path, headers=headers, json=body)


def problem(response: httpx.Response, code: str) -> str:
    document = response.json()
    assert document["code"] == code, document
    assert response.status_code == PROBLEMS[code].status
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    return str(document["detail"])


def test_every_scope_opens_its_own_doors_and_no_other(tmp_path, ledger_url):
    async def story(shop: Shop) -> None:
        keys = {scope: await shop.key(scope=scope) for scope in ("query", "audit", "admin")}
        for method, path, body in OPERATIONS:
            for scope in ("query", "audit"):
                detail = problem(await call(shop, keys[scope], method, path, body), "wrong-scope")
                assert "admin" in detail
            for wrong in (None, "lab_nonsense"):
                problem(await call(shop, wrong, method, path, body), "invalid-key")
            response = await call(shop, keys["admin"], method, path, body)
            expected = {"POST": 201, "DELETE": 404}.get(method, 200)
            assert response.status_code == expected, (method, path, response.text)
        for path in ("/v1/model", "/v1/account"):
            for scope, status in (("query", 200), ("audit", 200), ("admin", 403)):
                assert (await shop.get(path, keys[scope])).status_code == status
        for scope, status in (("query", 200), ("audit", 200), ("admin", 403)):
            assert (await shop.send(keys[scope])).status_code == status

    play(tmp_path, story, ledger_url=ledger_url)


def test_refused_scopes_changed_nothing(tmp_path):
    async def story(shop: Shop) -> None:
        key = await shop.key()
        before = await shop.ledger.keys(), await shop.ledger.plans()
        for method, path, body in OPERATIONS:
            await call(shop, key, method, path, body)
        await call(shop, key, "DELETE", f"{KEYS}/{key.split('_')[1]}")
        assert (await shop.ledger.keys(), await shop.ledger.plans()) == before

    play(tmp_path, story)


def test_the_list_of_operations_is_whole(tmp_path):
    async def story(shop: Shop) -> None:
        paths = (await shop.get("/openapi.json")).json()["paths"]
        documented = {
            (method.upper(), path)
            for path, item in paths.items()
            for method in item
            if path.startswith("/v1/admin/")
        }
        assert len(documented) == len(OPERATIONS)

    play(tmp_path, story)


def test_a_key_is_shown_once_and_never_again(tmp_path, ledger_url):
    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin", account="operator")
        order = {"account": "zoe", "plan": "soft", "budget": 7, "valid_for_s": 3600}
        response = await call(shop, admin, "POST", KEYS, order)
        assert response.status_code == 201
        assert response.headers["cache-control"] == "no-store"
        issued = contract.IssuedKey.model_validate_json(response.content)
        info = issued.info
        assert (info.account, info.plan, info.scope, info.budget) == ("zoe", "soft", "query", 7)
        assert info.state == "valid"
        assert info.expires_at - info.issued_at == pytest.approx(3600)
        assert info.issued_at == pytest.approx(await shop.ledger.now(), abs=5)
        assert (await shop.send(issued.key, 7)).status_code == 200
        problem(await shop.send(issued.key, 1), "budget-exhausted")

        secret, digest = issued.key.split("_")[2], (await shop.ledger.key(info.key_id)).digest
        for path in (KEYS, ACCOUNTS, f"{ACCOUNTS}/zoe"):
            text = (await shop.get(path, admin)).text
            assert info.key_id in text
            for hidden in (secret, digest.hex(), "digest", admin):
                assert hidden not in text

    play(tmp_path, story, ledger_url=ledger_url)


def test_issuing_and_revoking_are_logged_by_id_alone(tmp_path):
    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin", account="operator")
        by = admin.split("_")[1]
        with structlog.testing.capture_logs() as logs:
            response = await call(shop, admin, "POST", KEYS, {"account": "zoe", "scope": "admin"})
            key = response.json()["key"]
            key_id = key.split("_")[1]
            await call(shop, admin, "DELETE", f"{KEYS}/{key_id}")
            await call(shop, admin, "PUT", f"{SOLD}/gold", {"label_mode": "hard"})
        told = [
            {name: value for name, value in line.items() if name != "log_level"}
            for line in logs
            if line["event"] != "request"
        ]
        assert told == [
            {"event": "key issued", "by": by, "key_id": key_id, "scope": "admin"},
            {"event": "key revoked", "by": by, "key_id": key_id},
            {"event": "plan put", "by": by, "plan": "gold", "version": 1},
        ]
        assert not any(secret.split("_")[2] in str(logs) for secret in (key, admin))

    play(tmp_path, story)


def test_a_revoked_key_is_refused_within_a_second_and_revoking_again_is_the_same(
    tmp_path, ledger_url
):
    async def story(shop: Shop) -> None:
        admin, key = await shop.key(scope="admin"), await shop.key()
        path = f"{KEYS}/{key.split('_')[1]}"
        assert (await shop.get("/v1/account", key)).status_code == 200  # and it is remembered
        first = await call(shop, admin, "DELETE", path)
        begun = time.monotonic()
        assert first.status_code == 200
        assert first.json()["state"] == "revoked"
        while (await shop.get("/v1/account", key)).status_code == 200:
            await asyncio.sleep(0.02)
        assert time.monotonic() - begun < 1.3
        problem(await shop.send(key), "invalid-key")
        assert (await call(shop, admin, "DELETE", path)).json() == first.json()

    play(tmp_path, story, ledger_url=ledger_url)


def test_an_expired_key_is_refused_by_the_ledgers_clock(tmp_path, monkeypatch, ledger_url):
    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin")
        order = {"account": "zoe", "plan": "soft", "valid_for_s": 0.4}
        key = (await call(shop, admin, "POST", KEYS, order)).json()["key"]
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 61)
        assert (await shop.get("/v1/account", key)).status_code == 200
        monkeypatch.undo()
        begun = time.monotonic()
        while (await shop.get("/v1/account", key)).status_code == 200:
            await asyncio.sleep(0.02)
        assert 0.3 < time.monotonic() - begun < 1.7
        (listed,) = [
            one for one in (await shop.get(KEYS, admin)).json()["keys"] if one["account"] == "zoe"
        ]
        assert listed["state"] == "expired"

    play(tmp_path, story, ledger_url=ledger_url)


def test_an_admin_who_revokes_its_own_key_is_out(tmp_path):
    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin")
        response = await call(shop, admin, "DELETE", f"{KEYS}/{admin.split('_')[1]}")
        assert response.status_code == 200
        await asyncio.sleep(1.05)
        problem(await shop.get(KEYS, admin), "invalid-key")

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("order", "named"),
    [
        ({}, "account"),
        ([], "body"),
        ({"account": "zoe"}, "plan"),
        ({"account": "zoe", "plan": "nowhere"}, "one of family, hard"),
        ({"account": "z o", "plan": "soft"}, "account"),
        ({"account": "z\n", "plan": "soft"}, "account"),
        ({"account": "z" * 65, "plan": "soft"}, "account"),
        ({"account": "zoe", "plan": "soft", "scope": "root"}, "scope"),
        ({"account": "zoe", "plan": "soft", "budget": -1}, "budget"),
        ({"account": "zoe", "plan": "soft", "budget": 2**60}, "budget"),
        ({"account": "zoe", "plan": "soft", "budgt": 5}, "budgt"),
        ({"account": "zoe", "plan": "soft", "valid_for_s": 0}, "valid_for_s"),
        ({"account": "zoe", "plan": "soft", "valid_for_s": 1e300}, "valid_for_s"),
        ({"account": "zoe", "scope": "audit", "plan": "soft"}, "plan"),
        ({"account": "zoe", "scope": "audit", "budget": 5}, "budget"),
    ],
)
def test_a_wrong_order_names_the_field_and_issues_nothing(tmp_path, order, named):
    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin")
        assert named in problem(await call(shop, admin, "POST", KEYS, order), "malformed-request")
        assert len(await shop.ledger.keys()) == 1

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("body", "media_type", "code"),
    [
        (b"", "application/json", "malformed-request"),
        (b"{", "application/json", "malformed-request"),
        (b'{"account": "\xff"}', "application/json", "malformed-request"),
        (b'{"account": "\\ud800", "plan": "soft"}', "application/json", "malformed-request"),
        (b"[" * 60_000, "application/json", "malformed-request"),
        (b'{"budget": NaN}', "application/json", "malformed-request"),
        (b'{"budget": %s}' % (b"9" * 9000), "application/json", "malformed-request"),
        (b'{"account": "zoe", "plan": "soft"}', "text/plain", "unsupported-media-type"),
        (b'{"account": "zoe", "plan": "soft"}', "", "unsupported-media-type"),
        (b" " * 70_000, "application/json", "too-large"),
        (b" " * 3_000_000, "application/json", "too-large"),
    ],
)
def test_a_hostile_body_is_a_problem_of_the_client(tmp_path, body, media_type, code):
    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin")
        for method, path in (("POST", KEYS), ("PUT", f"{SOLD}/gold")):
            headers = {"authorization": f"Bearer {admin}", "content-type": media_type}
            response = await shop.client.request(method, path, content=body, headers=headers)
            assert len(problem(response, code)) < 600
        assert len(await shop.ledger.keys()) == 1

    play(tmp_path, story)


def test_what_is_not_there_is_not_found(tmp_path):
    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin")
        for method, path in (
            ("DELETE", f"{KEYS}/{'0' * 12}"),
            ("DELETE", f"{KEYS}/nonsense"),
            ("DELETE", f"{KEYS}/{'x' * 3000}"),
            ("DELETE", f"{KEYS}/%00"),
            ("GET", f"{SOLD}/gold"),
            ("GET", f"{SOLD}/A%20b"),
            ("GET", f"{SOLD}/%F0%9F%98%80"),
            ("GET", f"{ACCOUNTS}/nobody"),
            ("GET", f"{ACCOUNTS}/a%0Ab"),
        ):
            detail = problem(await call(shop, admin, method, path), "not-found")
            assert "lists them" in detail
            assert len(detail) < 200

    play(tmp_path, story)


def test_plans_change_in_versions_and_the_next_query_is_sold_under_the_new_one(
    tmp_path, ledger_url
):
    async def story(shop: Shop) -> None:
        admin, key = await shop.key(scope="admin"), await shop.key("soft")
        source = f"admin:{admin.split('_')[1]}"
        listed = contract.PlanList.model_validate_json((await shop.get(SOLD, admin)).content)
        assert [(plan.name, plan.version) for plan in listed.plans] == [
            (name, 1) for name in sorted(PLANS)
        ]
        document = {**PLANS["soft"].model_dump(mode="json"), "label_mode": "hard"}
        put = await call(shop, admin, "PUT", f"{SOLD}/soft", document)
        made = contract.PlanVersion.model_validate_json(put.content)
        assert (made.name, made.version, made.source) == ("soft", 2, source)
        assert made.plan["label_mode"] == "hard"
        assert (await call(shop, admin, "PUT", f"{SOLD}/soft", document)).json()["version"] == 2
        await asyncio.sleep(1.05)
        assert (await shop.get("/v1/model", key)).json()["label_mode"] == "hard"
        history = contract.PlanHistory.model_validate_json(
            (await shop.get(f"{SOLD}/soft", admin)).content
        )
        assert [(one.version, one.source) for one in history.history] == [(1, "file"), (2, source)]
        assert history.latest == history.history[-1] == made
        assert history.history[0].plan["label_mode"] == "soft"

    play(tmp_path, story, ledger_url=ledger_url)


def test_a_new_plan_can_be_sold_at_once(tmp_path):
    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin")
        order = {"account": "zoe", "plan": "gold"}
        problem(await call(shop, admin, "POST", KEYS, order), "malformed-request")
        assert (await call(shop, admin, "PUT", f"{SOLD}/gold", {"label_mode": "hard"})).json()[
            "version"
        ] == 1
        key = (await call(shop, admin, "POST", KEYS, order)).json()["key"]
        assert (await shop.send(key)).status_code == 200

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "label_mode"),
        ([], "body"),
        ({"label_mode": "all"}, "label_mode"),
        ({"label_mode": "top_k"}, "top_k"),
        ({"label_mode": "soft", "budget": -1}, "budget"),
        ({"label_mode": "soft", "rate_per_s": 5}, "burst"),
        ({"label_mode": "soft", "budgt": 5}, "budgt"),
        ({"label_mode": "soft", "price_per_clip": float("inf")}, "JSON"),
        ({"label_mode": "soft", "price_per_clip": 1e308}, "price_per_clip"),
        ({"label_mode": "top_k", "top_k": 10**400}, "top_k"),
        ({"label_mode": "soft", "rate_per_s": 5, "burst": 10**400}, "burst"),
        ({"label_mode": "soft", "rate_per_s": 5e-324, "burst": 5}, "rate_per_s"),
        ({"label_mode": "soft", "name": "silver"}, "name"),
        ({"label_mode": "soft", "name": 7}, "name"),
        (
            {
                "label_mode": "soft",
                "defences": [{"kind": "label_only"}, {"kind": "noise", "scale": 1}],
            },
            "defences: noise needs exact probabilities, and label_only before it leaves no more",
        ),
        (
            {"label_mode": "top_k", "top_k": 3, "defences": [{"kind": "label_only"}]},
            "Take another label mode, or leave label_only out",
        ),
        (
            {"label_mode": "soft", "defences": [{"kind": "modelguard_w", "epsilon": 3}]},
            "defences.0: modelguard_w: epsilon: Input should be less than or equal to 2",
        ),
    ],
)
def test_a_wrong_plan_is_refused_with_the_reason_and_changes_nothing(tmp_path, document, named):
    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin")
        headers = {"authorization": f"Bearer {admin}", "content-type": "application/json"}
        response = await shop.client.put(
            f"{SOLD}/gold", content=json.dumps(document), headers=headers
        )
        assert named in problem(response, "malformed-request")
        assert await shop.ledger.plan("gold") is None

    play(tmp_path, story)


def test_plan_names_are_checked_and_the_audit_plan_is_nobodys(tmp_path):
    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin")
        for name in ("audit", "Gold", "a%20b", "x" * 65):
            response = await call(shop, admin, "PUT", f"{SOLD}/{name}", {"label_mode": "hard"})
            problem(response, "malformed-request")
        assert len(await shop.ledger.plans()) == len(PLANS)

    play(tmp_path, story)


def test_accounts_tell_use_spend_rate_and_refusals(tmp_path, ledger_url):
    plans = {name: plan.model_copy(update={"price_per_clip": 0.25}) for name, plan in PLANS.items()}

    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin", account="operator")
        key, second = await shop.key(budget=20), await shop.key("hard")
        audit = await shop.key(scope="audit")
        await shop.send(key, 12, name="same-name")
        await shop.send(key, 12, name="same-name")
        await shop.send(second, 5)
        await shop.send(audit, 9)
        problem(await shop.send(key, 10), "budget-exhausted")
        problem(await shop.send(key, 65), "too-large")
        response = await shop.get(f"{ACCOUNTS}/alice", admin)
        alice = contract.AccountUsage.model_validate_json(response.content)
        assert (alice.spent, alice.queries, alice.audited, alice.cost) == (17, 2, 9, 4.25)
        assert (alice.budget, alice.remaining) == (120, 103)
        assert alice.refusals == {"budget-exhausted": 1, "too-large": 1}
        assert alice.clips_per_s > 0
        assert alice.last_at == pytest.approx(await shop.ledger.now(), abs=10)
        assert [use.remaining for use in alice.keys] == [8, 95, None]
        everyone = contract.AccountList.model_validate_json(
            (await shop.get(ACCOUNTS, admin)).content
        ).accounts
        assert [one.account for one in everyone] == ["alice", "operator"]
        assert everyone[0].spent == 17
        operator = everyone[1]
        assert (operator.spent, operator.budget, operator.last_at) == (0, None, None)

    play(tmp_path, story, plans=plans, ledger_url=ledger_url)


def test_everything_fails_closed_when_the_ledger_is_gone(tmp_path, monkeypatch):
    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin")
        assert (await shop.get(KEYS, admin)).status_code == 200  # the key is remembered

        async def gone(*_: object, **__: object) -> None:
            raise Refusal("ledger-unreachable", retry_after_s=1.0)

        for name in dir(shop.ledger):
            if not name.startswith("_") and name not in {"aclose", "path", "close"}:
                monkeypatch.setattr(shop.ledger, name, gone)
        for method, path, body in OPERATIONS:
            response = await call(shop, admin, method, path, body)
            problem(response, "ledger-unreachable")
            assert "key" not in response.json()

    play(tmp_path, story)


def test_a_method_that_is_not_taken_is_told_all_that_are(tmp_path):
    async def story(shop: Shop) -> None:
        for method, path, allowed in (
            ("PATCH", KEYS, "GET, POST"),
            ("POST", f"{SOLD}/soft", "GET, PUT"),
            ("GET", f"{KEYS}/{'0' * 12}", "DELETE"),
            ("DELETE", "/v1/classify", "POST"),
        ):
            response = await shop.client.request(method, path)
            problem(response, "method-not-allowed")
            assert response.headers.get_list("allow") == [allowed]

    play(tmp_path, story)


def test_openapi_describes_what_the_routes_take(tmp_path):
    async def story(shop: Shop) -> None:
        document = (await shop.get("/openapi.json")).json()
        schemas = document["components"]["schemas"]
        bodies = [
            document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]
            for path, method in ((KEYS, "post"), (SOLD + "/{name}", "put"))
        ]
        assert [body["$ref"].rpartition("/")[2] for body in bodies] == ["KeyOrder", "Plan"]
        assert schemas["KeyOrder"]["additionalProperties"] is False
        assert "label_mode" in schemas["Plan"]["required"]
        for reference in _references(document):
            assert reference.removeprefix("#/components/schemas/") in schemas
        for path, item in document["paths"].items():
            for operation in item.values():
                parameters = operation.get("parameters", ())
                named = [one["name"] for one in parameters if one["in"] == "path"]
                assert all(f"{{{part}}}" in path for part in named) or "admin" not in path
                assert path.count("{") == sum(f"{{{part}}}" in path for part in named)

    play(tmp_path, story)


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    if isinstance(node, list):
        return [found for value in node for found in _references(value)]
    return []
