"""The operator's routes about watched accounts: their rung, their steps, their readings."""

import structlog
from fastapi import APIRouter, Request, Response

from shared import contract
from victim_service.api import guards
from victim_service.api.documents import (
    BODY_PROBLEMS,
    checked,
    json_body,
    missing,
    named,
    path_name,
    takes,
)
from victim_service.api.problems import described
from victim_service.errors import Refusal, StartError
from victim_service.observing import log_step
from victim_service.parts import Parts
from victim_service.plan_book import admin_source
from victim_service.rungs import ladder_of, reading_of, set_rung

_log = structlog.get_logger("victim")

_PROBLEMS = ("invalid-key", "wrong-scope", "ledger-unreachable", "internal", "not-found")
ACCOUNT = r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$"
_LADDER = contract.ADMIN_ACCOUNTS_PATH + "/{account}/ladder"
_READINGS = contract.ADMIN_ACCOUNTS_PATH + "/{account}/readings"
_MOST = 1000
_PAGE_PARAMETERS = [
    {
        "name": "after",
        "in": "query",
        "required": False,
        "description": "Id of the last reading of the page before.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    },
    {
        "name": "limit",
        "in": "query",
        "required": False,
        "schema": {"type": "integer", "minimum": 1, "maximum": _MOST, "default": _MOST},
    },
]


def add_to(routes: APIRouter, parts: Parts) -> None:
    """Add the routes to those of the operator."""

    @routes.get(
        _LADDER,
        summary="Rung of an account, and how it came there",
        responses=described(*_PROBLEMS),
        openapi_extra=named("account", ACCOUNT),
    )
    async def show_ladder(request: Request, response: Response) -> contract.AccountLadder:
        """Show the rung, the steps with their reasons, and the latest readings of detectors."""
        await guards.operator(request, response, parts)
        return await _ladder(parts, _account(request))

    @routes.put(
        _LADDER,
        summary="Put an account on a rung",
        responses=described(*_PROBLEMS, *BODY_PROBLEMS),
        openapi_extra=takes("LadderOrder") | named("account", ACCOUNT),
    )
    async def put_on_rung(request: Request, response: Response) -> contract.AccountLadder:
        """Take an account up or down, with a reason; every replica follows at its next query."""
        operator = await guards.operator(request, response, parts)
        account = _account(request)
        order = checked(await json_body(parts, request), contract.LadderOrder)
        await _ladder(parts, account)
        by = admin_source(operator.key_id)
        try:
            step = await set_rung(
                parts.ledger, account, order.rung, order.reason, by, forget=order.forget
            )
        except StartError as error:
            raise Refusal("malformed-request", f"body: rung: {error}") from error
        parts.metrics.ladder_steps.labels(str(step.after)).inc()
        log_step(account, step)
        return await _ladder(parts, account)

    @routes.get(
        _READINGS,
        summary="What detectors said of an account",
        responses=described(*_PROBLEMS, "malformed-request"),
        openapi_extra={
            **named("account", ACCOUNT),
            "parameters": [*named("account", ACCOUNT)["parameters"], *_PAGE_PARAMETERS],
        },
    )
    async def list_readings(request: Request, response: Response) -> contract.ReadingList:
        """List windows and their scores, oldest first; the latest 10,000 are kept."""
        await guards.operator(request, response, parts)
        account, after, limit = _account(request), _number(request, "after"), _limit(request)
        if not any(key.account == account for key in await parts.ledger.keys()):
            raise missing("account", account, contract.ADMIN_ACCOUNTS_PATH)
        notes = await parts.ledger.notes(account, "reading", after, limit)
        return contract.ReadingList(readings=[reading_of(note) for note in notes])


def _account(request: Request) -> str:
    account = str(request.path_params["account"])
    try:
        return path_name(request, "account", ACCOUNT)
    except Refusal as refusal:
        raise missing("account", account, contract.ADMIN_ACCOUNTS_PATH) from refusal


async def _ladder(parts: Parts, account: str) -> contract.AccountLadder:
    found = await ladder_of(parts.ledger, account)
    if found is None:
        raise missing("account", account, contract.ADMIN_ACCOUNTS_PATH)
    return found


def _number(request: Request, name: str) -> str:
    text = request.query_params.get(name, "")
    if text and not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Refusal("malformed-request", f"{name}: not an id. Take one from an earlier page.")
    return text


def _limit(request: Request) -> int:
    limit = int(_number(request, "limit") or _MOST)
    if not 1 <= limit <= _MOST:
        raise Refusal("malformed-request", f"limit: from 1 to {_MOST}. Ask for a page of that.")
    return limit
