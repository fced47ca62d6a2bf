"""The routes of those who hold a key. :mod:`victim_service.api.queries` answers the first one."""

from typing import Any

from fastapi import APIRouter, Request, Response

from shared import contract
from victim_service.api import guards, queries
from victim_service.api.problems import described
from victim_service.parts import Parts

_SECURED: dict[str, Any] = {"security": [{"bearer": []}]}
_KEY_PROBLEMS = ("invalid-key", "wrong-scope", "ledger-unreachable", "internal")
_CLASSIFY_PROBLEMS = (
    *(
        "malformed-request",
        "idempotency-key-missing",
        "idempotency-key-malformed",
        "account-suspended",
        "proof-required",
    ),
    *("budget-exhausted", "not-acceptable", "slow-body", "still-running"),
    *("too-large", "batch-exceeds-burst", "unsupported-media-type"),
    *("undecodable-audio", "wrong-length", "wrong-sample-rate", "not-finite", "out-of-range"),
    *("key-reused", "rate-limited", "queue-full", "draining", "deadline-passed", "model-failed"),
)
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_CLASSIFY_DOCUMENT: dict[str, Any] = {
    **_SECURED,
    "requestBody": {
        "required": True,
        "description": "One clip as WAV or FLAC, or int16 or float32 (B, T) or (T,) as npy.",
        "content": {
            contract.WAV_MEDIA_TYPE: _BINARY,
            contract.FLAC_MEDIA_TYPE: _BINARY,
            contract.NPY_MEDIA_TYPE: _BINARY,
        },
    },
    "parameters": [
        {
            "name": contract.IDEMPOTENCY_HEADER,
            "in": "header",
            "required": False,
            "description": "Names this query; required for more than one clip. One clip without it"
            " is named by the service: send it again under the name that the answer tells.",
            "schema": {"type": "string", "pattern": "^[!-~]{8,255}$"},
        },
        {
            "name": contract.PROOF_HEADER,
            "in": "header",
            "required": False,
            "description": "<challenge>.<nonce>, whose SHA-256 begins with as many zero bits as"
            " `proof-required` asked for.",
            "schema": {"type": "string", "maxLength": 255},
        },
    ],
}


def router(parts: Parts) -> APIRouter:
    """Return the routes of a service made of ``parts``."""
    routes = APIRouter()

    @routes.post(
        contract.CLASSIFY_PATH,
        summary="Name the speaker of each clip",
        response_model=contract.ClassifyAnswer,
        responses={
            200: {"content": {contract.NPY_MEDIA_TYPE: _BINARY}, "headers": _limit_fields()},
            **described(*_CLASSIFY_PROBLEMS, *_KEY_PROBLEMS),
        },
        openapi_extra=_CLASSIFY_DOCUMENT,
    )
    async def classify_clips(request: Request) -> Response:
        """Answer what the key's plan releases. One clip is one query; a batch of B costs B."""
        return await queries.answer(parts, request)

    @routes.get(
        contract.MODEL_PATH,
        summary="What to send, and what is released",
        responses=described(*_KEY_PROBLEMS),
        openapi_extra=_SECURED,
    )
    async def model(request: Request) -> contract.ModelCard:
        """Describe the model as the key's plan shows it."""
        caller = await guards.identify(request, parts)
        card = parts.card
        return contract.ModelCard(
            labels=card.labels,
            sample_rate_hz=card.sample_rate_hz,
            clip_samples=card.clip_samples,
            label_mode=caller.plan.label_mode,
            top_k=caller.plan.top_k,
            decimals=caller.plan.decimals,
            checkpoint=card.checkpoint_id,
            max_batch_clips=parts.settings.max_batch_clips,
        )

    @routes.get(
        contract.ACCOUNT_PATH,
        summary="What is spent, and what is left",
        responses=described(*_KEY_PROBLEMS),
        openapi_extra=_SECURED,
    )
    async def account(request: Request) -> contract.AccountStatus:
        """Tell the key's spend, in clips."""
        return await _account(parts, request)

    return routes


async def _account(parts: Parts, request: Request) -> contract.AccountStatus:
    caller = await guards.identify(request, parts)
    standing = await parts.ledger.standing(caller.policies)
    plan = caller.plan
    return contract.AccountStatus(
        account=caller.key.account,
        plan=plan.name,
        budget=standing.budget,
        spent=standing.spent,
        remaining=standing.remaining,
        rate_per_s=plan.rate_per_s,
        burst=plan.burst,
        daily_budget=plan.daily_budget,
        daily_remaining=standing.daily_remaining,
        price_per_clip=plan.price_per_clip,
        spent_money=plan.money(standing.spent),
        most_units_per_clip=plan.reserved(1) or 1,
    )


def _limit_fields() -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    return {
        contract.RATE_LIMIT_POLICY_HEADER: {"description": "Rate and budget sold.", **text},
        contract.RATE_LIMIT_HEADER: {"description": "Rate and budget left.", **text},
        contract.REPLAYED_HEADER: {"description": "true on a replay, which costs 0.", **text},
        contract.IDEMPOTENCY_HEADER: {"description": "Name of a query that had none.", **text},
    }
