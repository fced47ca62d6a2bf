"""The application: wiring and lifespan, no arithmetic."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from shared.contract import ProblemDocument
from victim_service.api import admin, health, problems, routes
from victim_service.api.access_log import AccessLog
from victim_service.api.queries import Queries
from victim_service.errors import Refusal
from victim_service.parts import Parts
from victim_service.settings import Settings

_log = structlog.get_logger("victim")


def create_app(settings: Settings, parts: Parts) -> FastAPI:
    """Return the service made of ``parts``; its lifespan starts and stops the model's threads."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with parts.batcher:
            reaper = asyncio.create_task(_reap(settings, parts))
            try:
                yield
            finally:
                parts.draining = True
                reaper.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reaper

    app = Service(
        title="Earshot victim",
        summary="Speaker identification, sold by the query.",
        version="1",
        lifespan=lifespan,
        redoc_url=None,
    )
    app.include_router(routes.router(parts))
    app.include_router(admin.router(parts))
    app.include_router(health.router(parts))
    problems.install(app, parts.metrics)
    # Here too: outside of it Starlette answers faults itself, with plain text.
    app.add_middleware(problems.FaultGuard, metrics=parts.metrics)
    _complete_openapi(app)
    app.put_in_front(parts)
    return app


class Service(FastAPI):
    """FastAPI for everything but queries, which are answered in front of it.

    Its middleware and routing cost more than all that a query needs of the wire.
    """

    def put_in_front(self, parts: Parts) -> None:
        """Let every request be logged, and its faults answered; queries end here."""
        queries = Queries(super().__call__, parts)
        guarded = problems.FaultGuard(queries, parts.metrics)
        self._front = AccessLog(guarded, parts.metrics, parts.watch)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the lifespan, or one request."""
        if scope["type"] == "http":
            await self._front(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def _reap(settings: Settings, parts: Parts) -> None:
    while True:
        with contextlib.suppress(Refusal):
            reaped = await parts.ledger.reap(settings.reservation_ttl_s)
            if reaped:
                _log.info("reaped", reservations=reaped)
        await asyncio.sleep(settings.reap_every_s)


def _complete_openapi(app: FastAPI) -> None:
    """Add what FastAPI cannot see: the problem document, and how keys are sent."""
    plain = app.openapi

    def complete() -> dict[str, Any]:
        document = plain()
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})["ProblemDocument"] = (
            ProblemDocument.model_json_schema()
        )
        components["schemas"] |= admin.request_schemas()
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        return document

    app.openapi = complete  # type: ignore[method-assign]
