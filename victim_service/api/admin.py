"""The operator's routes: keys, plans and accounts, under a key of scope admin.

An admin key may do all that ``earshot-victim`` can do on the ledger, issuing other admin keys
included; the log names the key that did it.
"""

import asyncio
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic.json_schema import models_json_schema
from pydantic_core import from_json

from shared import contract
from victim_service import keys, usage
from victim_service.api import guards, ladder
from victim_service.api.documents import (
    BODY_PROBLEMS,
    SECURED,
    checked,
    json_body,
    missing,
    named,
    path_name,
    takes,
)
from victim_service.api.problems import described
from victim_service.errors import Refusal, StartError
from victim_service.ledger.records import PlanRecord
from victim_service.parts import Parts
from victim_service.plan_book import admin_source
from victim_service.plans import Plan

_log = structlog.get_logger("victim")

_PROBLEMS = ("invalid-key", "wrong-scope", "ledger-unreachable", "internal")
_KEY_ID = r"^[0-9a-f]{12}$"
_PLAN_NAME = r"^[a-z0-9][a-z0-9-]{0,63}$"


def router(parts: Parts) -> APIRouter:
    """Return the admin routes of a service made of ``parts``."""
    routes = APIRouter(tags=["admin"])
    _add_keys(routes, parts)
    _add_plans(routes, parts)
    _add_accounts(routes, parts)
    ladder.add_to(routes, parts)
    _add_metrics(routes, parts)
    return routes


def request_schemas() -> dict[str, Any]:
    """Return the OpenAPI components of the requests, which the routes read themselves."""
    _, schemas = models_json_schema(
        [(model, "validation") for model in (contract.KeyOrder, contract.LadderOrder, Plan)],
        ref_template="#/components/schemas/{model}",
    )
    found = dict(schemas["$defs"])
    found["Plan"]["required"].remove("name")  # the address names it
    return found


def _add_keys(routes: APIRouter, parts: Parts) -> None:
    @routes.get(
        contract.ADMIN_KEYS_PATH,
        summary="All keys, without their secrets",
        responses=described(*_PROBLEMS),
        openapi_extra=SECURED,
    )
    async def list_keys(request: Request, response: Response) -> contract.KeyList:
        """List every key that was ever issued, oldest first."""
        await guards.operator(request, response, parts)
        records = await parts.ledger.keys()
        return contract.KeyList(keys=[usage.key_info(record) for record in records])

    @routes.post(
        contract.ADMIN_KEYS_PATH,
        status_code=201,
        summary="Issue a key",
        responses=described(*_PROBLEMS, *BODY_PROBLEMS),
        openapi_extra=takes("KeyOrder"),
    )
    async def issue_key(request: Request, response: Response) -> contract.IssuedKey:
        """Make a key and show it, this once: only its hash is kept."""
        operator = await guards.operator(request, response, parts)
        order = checked(await json_body(parts, request), contract.KeyOrder)
        await _check_order(parts, order)
        key, record = await keys.issue_into(
            parts.ledger,
            order.account,
            order.plan,
            order.scope,
            budget=order.budget,
            valid_for_s=order.valid_for_s,
        )
        _log.info("key issued", by=operator.key_id, key_id=record.key_id, scope=record.scope)
        return contract.IssuedKey(key=key, info=usage.key_info(record))

    @routes.delete(
        contract.ADMIN_KEYS_PATH + "/{key_id}",
        summary="Revoke a key",
        responses=described(*_PROBLEMS, "not-found"),
        openapi_extra=named("key_id", _KEY_ID),
    )
    async def revoke_key(request: Request, response: Response) -> contract.KeyInfo:
        """Revoke a key: every replica refuses it within a second. Once more changes nothing."""
        operator = await guards.operator(request, response, parts)
        key_id = path_name(request, "key_id", _KEY_ID)
        if not await parts.ledger.revoke_key(key_id):
            raise missing("key_id", key_id, contract.ADMIN_KEYS_PATH)
        record = await parts.ledger.key(key_id)
        if record is None:
            raise missing("key_id", key_id, contract.ADMIN_KEYS_PATH)
        _log.info("key revoked", by=operator.key_id, key_id=key_id)
        return usage.key_info(record)


def _add_plans(routes: APIRouter, parts: Parts) -> None:
    @routes.get(
        contract.ADMIN_PLANS_PATH,
        summary="The plans that are sold",
        responses=described(*_PROBLEMS),
        openapi_extra=SECURED,
    )
    async def list_plans(request: Request, response: Response) -> contract.PlanList:
        """Show the latest version of every plan."""
        await guards.operator(request, response, parts)
        records = await parts.ledger.plans()
        return contract.PlanList(plans=[_plan_version(record) for record in records])

    @routes.get(
        contract.ADMIN_PLANS_PATH + "/{name}",
        summary="A plan and its history",
        responses=described(*_PROBLEMS, "not-found"),
        openapi_extra=named("name", _PLAN_NAME),
    )
    async def show_plan(request: Request, response: Response) -> contract.PlanHistory:
        """Show all versions of a plan."""
        await guards.operator(request, response, parts)
        name = path_name(request, "name", _PLAN_NAME)
        records = await parts.ledger.plan_history(name)
        if not records:
            raise missing("name", name, contract.ADMIN_PLANS_PATH)
        history = [_plan_version(record) for record in records]
        return contract.PlanHistory(latest=history[-1], history=history)

    @routes.put(
        contract.ADMIN_PLANS_PATH + "/{name}",
        summary="Sell a plan from now on",
        responses=described(*_PROBLEMS, *BODY_PROBLEMS),
        openapi_extra=takes("Plan") | named("name", _PLAN_NAME),
    )
    async def put_plan(request: Request, response: Response) -> contract.PlanVersion:
        """Make a new version of a plan, unless it says what the latest one says.

        Queries that are reserved from then on are sold under it, in every replica within a second.
        """
        operator = await guards.operator(request, response, parts)
        plan = _read_plan(request.path_params["name"], await json_body(parts, request))
        await _check_detectors(parts, plan)
        version = await parts.plan_book.put(plan, admin_source(operator.key_id))
        record = await parts.ledger.plan(plan.name, version)
        if record is None:
            raise Refusal("ledger-unreachable", retry_after_s=1.0)
        _log.info("plan put", by=operator.key_id, plan=plan.name, version=version)
        return _plan_version(record)


def _add_accounts(routes: APIRouter, parts: Parts) -> None:
    @routes.get(
        contract.ADMIN_ACCOUNTS_PATH,
        summary="Usage and spend of all accounts",
        responses=described(*_PROBLEMS),
        openapi_extra=SECURED,
    )
    async def list_accounts(request: Request, response: Response) -> contract.AccountList:
        """Show what every account bought, may still buy, and was refused."""
        await guards.operator(request, response, parts)
        return contract.AccountList(accounts=await _usages(parts))

    @routes.get(
        contract.ADMIN_ACCOUNTS_PATH + "/{account}",
        summary="Usage and spend of an account",
        responses=described(*_PROBLEMS, "not-found"),
        openapi_extra=named("account", ladder.ACCOUNT),
    )
    async def show_account(request: Request, response: Response) -> contract.AccountUsage:
        """Show what one account bought, may still buy, and was refused."""
        await guards.operator(request, response, parts)
        account = path_name(request, "account", ladder.ACCOUNT)
        for found in await _usages(parts):
            if found.account == account:
                return found
        raise missing("account", account, contract.ADMIN_ACCOUNTS_PATH)


def _add_metrics(routes: APIRouter, parts: Parts) -> None:
    @routes.get(
        contract.ADMIN_METRICS_PATH,
        summary="Prometheus metrics of all accounts",
        responses=described(*_PROBLEMS),
        openapi_extra=SECURED,
        response_class=Response,
    )
    async def account_metrics(request: Request) -> Response:
        """Spend by the ledger, and the share of speakers that this process's answers named."""
        await guards.operator(request, Response(), parts)
        text = usage.account_page(await _usages(parts), parts.watch, len(parts.card.labels))
        headers = {"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"}
        return Response(text, headers=headers)


async def _usages(parts: Parts) -> list[contract.AccountUsage]:
    ledger, watch = parts.ledger, parts.watch
    records, spends = await ledger.keys(), await ledger.spend()
    plans = usage.readable_plans(await ledger.plans())
    states = await ledger.account_states()
    found = usage.account_usages(records, spends, plans, parts.settings.global_budget, states)
    return [
        one.model_copy(
            update={
                "clips_per_s": watch.clips_per_s(one.account),
                "refusals": watch.refusals(one.account),
            }
        )
        for one in found
    ]


async def _check_order(parts: Parts, order: contract.KeyOrder) -> None:
    if order.scope != "query":
        for name, value in (("plan", order.plan), ("budget", order.budget)):
            if value is not None:
                raise Refusal(
                    "malformed-request", f"body: {name}: only query keys have one. Leave it out."
                )
        return
    sold = [plan.name for plan in await parts.ledger.plans()]
    if order.plan not in sold:
        names = ", ".join(sold)
        raise Refusal("malformed-request", f"body: plan: a query key needs one of {names}.")


def _read_plan(name: str, data: Any) -> Plan:
    if isinstance(data, dict):
        said = data.setdefault("name", name)
        if said != name:
            raise Refusal(
                "malformed-request", f"body: name: the address says {name[:64]!r}. Name it alike."
            )
    return checked(data, Plan)


async def _check_detectors(parts: Parts, plan: Plan) -> None:
    try:
        await asyncio.to_thread(parts.observing.prepare, plan)
    except StartError as error:
        raise Refusal("malformed-request", f"body: detectors: {error}") from error


def _plan_version(record: PlanRecord) -> contract.PlanVersion:
    return contract.PlanVersion(
        name=record.name,
        version=record.version,
        source=record.source,
        at=record.at,
        plan=from_json(record.document),
    )
