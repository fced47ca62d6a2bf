"""One JSON line a request, with the ids of request, key and campaign.

Never a key, an idempotency key, a query or audio.
"""

import itertools
import re
import secrets
import time
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.contract import CAMPAIGN_HEADER, LIVEZ_PATH, READYZ_PATH, REQUEST_ID_HEADER
from victim_service.metrics import Metrics
from victim_service.watch import Watch

_log = structlog.get_logger("victim")
_KEY = re.compile(r"(lab_)\w+", re.ASCII)
"""What may be an API key: some put it into an address by mistake."""
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_QUIET = frozenset({LIVEZ_PATH, READYZ_PATH, "/metrics"})


class AccessLog:
    """Pure ASGI middleware: gives each request an id, returns it, and logs the outcome."""

    def __init__(self, app: ASGIApp, metrics: Metrics, watch: Watch) -> None:
        self._app = app
        self._metrics = metrics
        self._watch = watch
        self._header = REQUEST_ID_HEADER.lower().encode()
        self._campaign = CAMPAIGN_HEADER.lower().encode()
        self._process = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and log it when its answer has left."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        given = self._given_ids(scope)
        request_id = given.get(self._header) or self._new_id()
        state = scope.setdefault("state", {})
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (self._header, request_id)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._meter(state)
            seconds = time.perf_counter() - begun
            if scope["path"] not in _QUIET:
                self._metrics.request_s.observe(seconds)
                _log.info(
                    "request",
                    request_id=request_id.decode(),
                    campaign=given.get(self._campaign, b"").decode() or None,
                    method=scope["method"],
                    path=_KEY.sub(r"\1***", scope["path"][:200]),
                    status=status,
                    code=state.get("code"),
                    key_id=state.get("key_id"),
                    clips=state.get("clips"),
                    ms=round(1000 * seconds, 2),
                )

    def _meter(self, state: dict[str, Any]) -> None:
        """Tell the watch how it went, once the account is known."""
        account, code = state.get("account"), state.get("code")
        if account is not None and code is not None:
            self._watch.refused(account, code)
        elif account is not None and state.get("clips"):
            self._watch.answered(account, state["clips"], state.get("labels", ()))

    def _new_id(self) -> bytes:
        return f"{self._process}{next(self._numbers):08x}".encode()

    def _given_ids(self, scope: Scope) -> dict[bytes, bytes]:
        """Return the ids that the client gave, where they are well formed."""
        return {
            name: value
            for name, value in scope["headers"]
            if name in (self._header, self._campaign) and _ID.fullmatch(value)
        }
