"""Every error as ``application/problem+json`` (RFC 9457), the framework's own errors included."""

import asyncio
import functools
import json
import math
import re
import traceback
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.contract import RETRY_AFTER_HEADER
from shared.errors import PROBLEM_MEDIA_TYPE, PROBLEMS
from victim_service.errors import ClientGone, Refusal
from victim_service.metrics import Metrics

_log = structlog.get_logger("victim")

_FRAMEWORK_CODES = {
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    408: "slow-body",
    413: "too-large",
    415: "unsupported-media-type",
}
_CLIENT_CLOSED_REQUEST = 499
_CLOSING = frozenset({"slow-body", "too-large"})
"""Problems after which the rest of the body is not worth reading."""


def problem_response(refusal: Refusal) -> Response:
    """Return the problem document of ``refusal`` with its headers."""
    problem = refusal.problem
    document: dict[str, Any] = {
        "type": problem.type_uri,
        "title": problem.title,
        "status": problem.status,
        "detail": refusal.detail,
        "code": problem.code,
        **refusal.members,
    }
    headers = dict(refusal.headers)
    if refusal.remaining is not None:
        document["remaining"] = refusal.remaining
    if problem.retryable:
        # Rounded up, and never 0: a client that obeys is not refused for the same reason again.
        retry_after_s = max(1, math.ceil(refusal.retry_after_s or 1.0))
        document["retry_after_s"] = retry_after_s
        headers[RETRY_AFTER_HEADER] = str(retry_after_s)
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.code in _CLOSING:
        headers["Connection"] = "close"
    return Response(
        json.dumps(document), problem.status, headers=headers, media_type=PROBLEM_MEDIA_TYPE
    )


def refused(scope: Scope, metrics: Metrics, refusal: Refusal) -> Response:
    """Return the answer to a request that is refused, and count it by code."""
    scope.setdefault("state", {})["code"] = refusal.code
    metrics.refusals.labels(refusal.code).inc()
    return problem_response(refusal)


def gone(scope: Scope) -> Response:
    """Return what is logged of a request whose client left; nobody reads it."""
    scope.setdefault("state", {})["code"] = "client-gone"
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


class FaultGuard:
    """Pure ASGI middleware: a fault of the service becomes a problem document, and so does its end.

    The log gets the fault's type and place; a message might quote what the client sent.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and answer for it when that fails."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            # The time to drain is over. It was cancelled once; the answer may still leave.
            if not started:
                refusal = Refusal("draining", retry_after_s=1.0, headers={"Connection": "close"})
                await refused(scope, self._metrics, refusal)(scope, receive, send)
        except Exception as error:
            if scope["type"] != "http":
                raise
            frames = [line.strip() for line in traceback.format_tb(error.__traceback__)[-5:]]
            _log.error("fault", error=type(error).__name__, frames=frames)
            if not started:
                response = refused(scope, self._metrics, Refusal("internal"))
                await response(scope, receive, send)


def install(app: FastAPI, metrics: Metrics) -> None:
    """Make what ``app`` refuses a problem document; its faults are for :class:`FaultGuard`."""

    async def on_refusal(request: Request, error: Exception) -> Response:
        if not isinstance(error, Refusal):
            raise error
        return refused(request.scope, metrics, error)

    async def on_framework(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 400
        code = _FRAMEWORK_CODES.get(status, "internal" if status >= 500 else "malformed-request")
        headers = dict(getattr(error, "headers", None) or {})
        if status == 405:
            headers |= _allow(methods(), request.url.path)
        return refused(request.scope, metrics, Refusal(code, headers=headers))

    @functools.cache
    def methods() -> list[tuple[re.Pattern[str], str]]:
        return _methods(app.openapi()["paths"])

    async def on_gone(request: Request, error: Exception) -> Response:
        return gone(request.scope)

    app.add_exception_handler(Refusal, on_refusal)
    app.add_exception_handler(HTTPException, on_framework)
    app.add_exception_handler(RequestValidationError, on_framework)
    app.add_exception_handler(ClientGone, on_gone)


def _methods(paths: dict[str, Any]) -> list[tuple[re.Pattern[str], str]]:
    """Return (what a path looks like, the methods that it takes) of each path of OpenAPI."""
    return [
        (
            re.compile("[^/]+".join(map(re.escape, re.split(r"{[^}]*}", path)))),
            ", ".join(sorted(method.upper() for method in item)),
        )
        for path, item in paths.items()
    ]


def _allow(methods: list[tuple[re.Pattern[str], str]], path: str) -> dict[str, str]:
    """Return the header Allow of ``path``: the framework names the methods of its first route."""
    for pattern, allowed in methods:
        if pattern.fullmatch(path):
            return {"Allow": allowed}
    return {}


def described(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of the problems ``codes``, those of one status together."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        problem = PROBLEMS[code]
        entry = responses.setdefault(
            problem.status,
            {
                "description": "",
                "content": {
                    PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
                },
            },
        )
        entry["description"] = (entry["description"] + f" `{code}`: {problem.title}").strip()
        if problem.retryable:
            entry["headers"] = {
                RETRY_AFTER_HEADER: {
                    "description": "Seconds after which the same request may succeed.",
                    "schema": {"type": "integer", "minimum": 1},
                }
            }
    return responses
