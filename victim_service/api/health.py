"""Whether the process lives, whether it can serve, and its metrics. No key is asked for."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.contract import LIVEZ_PATH, READYZ_PATH
from victim_service.api.problems import described
from victim_service.errors import Refusal
from victim_service.parts import Parts


def router(parts: Parts) -> APIRouter:
    """Return the health routes of a service made of ``parts``."""
    routes = APIRouter()

    @routes.get(LIVEZ_PATH, summary="Is the process alive?", responses=described("model-failed"))
    async def livez() -> dict[str, str]:
        """Red when the model's threads died or hang: the process must be started again."""
        if not parts.batcher.alive:
            raise Refusal("model-failed", "The model's threads are dead. Restart the service.")
        return {"status": "alive"}

    @routes.get(
        READYZ_PATH,
        summary="Can it serve now?",
        responses=described("model-failed", "draining", "ledger-unreachable"),
    )
    async def readyz() -> dict[str, str]:
        """Red while the service drains or its ledger is unreachable."""
        if parts.draining:
            raise Refusal("draining", retry_after_s=5.0)
        await livez()
        await parts.ledger.ping()
        return {"status": "ready"}

    @routes.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics() -> Response:
        """Counters and times; no key, no account, no audio."""
        text = generate_latest(parts.metrics.registry)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return routes
