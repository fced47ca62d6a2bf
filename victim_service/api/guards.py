"""What a request must pass before it costs anything: key, scope, headers, size, body deadline."""

import asyncio
import math
import re

from fastapi import Request, Response

from shared.contract import (
    IDEMPOTENCY_HEADER,
    JSON_MEDIA_TYPE,
    NPY_MEDIA_TYPE,
    RATE_LIMIT_HEADER,
    RATE_LIMIT_POLICY_HEADER,
)
from victim_service.buying import Caller
from victim_service.errors import ClientGone, Refusal
from victim_service.held_bytes import Hold
from victim_service.ledger.base import DAY_S, Standing
from victim_service.ledger.records import KeyRecord
from victim_service.parts import Parts
from victim_service.plan_book import SOLD_AUDIT
from victim_service.plans import Plan

_IDEMPOTENCY = re.compile(r"[\x21-\x7e]{8,255}", re.ASCII)
_NPY_HEADER_BYTES = 4096
_TELLING = frozenset({"budget-exhausted", "rate-limited", "batch-exceeds-burst"})
"""Refusals whose detail may tell what the plan holds, or what is left of it."""
_ACCEPTED = {
    JSON_MEDIA_TYPE: JSON_MEDIA_TYPE,
    "application/*": JSON_MEDIA_TYPE,
    "*/*": JSON_MEDIA_TYPE,
    NPY_MEDIA_TYPE: NPY_MEDIA_TYPE,
}


async def present_key(request: Request, parts: Parts) -> KeyRecord:
    """Return the record of the bearer key, whatever its scope.

    Raises:
        Refusal: invalid-key.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Refusal("invalid-key", "Send the header Authorization: Bearer <key>.")
    record = await parts.keys.check(key.strip())
    request.state.key_id = record.key_id
    request.state.account = record.account
    return record


async def operator(request: Request, response: Response, parts: Parts) -> KeyRecord:
    """Return the key of the operator who asks; nobody shall cache the answer.

    Raises:
        Refusal: invalid-key, wrong-scope.
    """
    record = await present_key(request, parts)
    if record.scope != "admin":
        raise Refusal(
            "wrong-scope",
            "This needs a key of scope admin. Issue one: earshot-victim keys issue --scope admin.",
        )
    response.headers["Cache-Control"] = "no-store"
    return record


async def identify(request: Request, parts: Parts) -> Caller:
    """Return who asks, by the bearer key.

    Raises:
        Refusal: invalid-key, wrong-scope.
    """
    record = await present_key(request, parts)
    if record.scope == "audit":
        return Caller(record, SOLD_AUDIT, (), metered=False)
    if record.scope != "query":
        raise Refusal("wrong-scope", "This needs a key of scope query or audit. Issue one.")
    sold = await parts.plan_book.latest(record.plan)
    if sold is None:
        raise Refusal("invalid-key", "The key's plan is no longer sold. Ask for another key.")
    policies = sold.plan.policies(record, parts.settings.global_budget)
    return Caller(record, sold, policies, metered=True)


def idempotency_key(request: Request) -> str | None:
    """Return the client's idempotency key.

    Raises:
        Refusal: idempotency-key-malformed.
    """
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key is not None and not _IDEMPOTENCY.fullmatch(key):
        raise Refusal("idempotency-key-malformed")
    return key


def answer_type(request: Request) -> str:
    """Return the media type of the answer: the acceptable one that the client prefers.

    Raises:
        Refusal: not-acceptable.
    """
    chosen, best = None, 0.0
    for part in request.headers.get("accept", "*/*").lower().split(","):
        name, _, rest = part.partition(";")
        quality = 1.0
        for parameter in rest.split(";"):
            label, _, value = parameter.partition("=")
            if label.strip() == "q":
                quality = _quality(value)
        media_type = _ACCEPTED.get(name.strip())
        if media_type is not None and quality > best:
            chosen, best = media_type, quality
    if chosen is None:
        raise Refusal("not-acceptable")
    return chosen


async def read_body(request: Request, parts: Parts, media_type: str, hold: Hold) -> bytes:
    """Return the whole body, never holding more of it than is allowed.

    Raises:
        Refusal: too-large, slow-body, malformed-request, queue-full.
        ClientGone: the client left before it had sent everything.
    """
    settings = parts.settings
    limit = settings.max_audio_bytes
    if media_type == NPY_MEDIA_TYPE:
        limit = parts.largest_batch_bytes + _NPY_HEADER_BYTES
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()):
        raise Refusal("malformed-request", "Content-Length is not a number. Mend it.")
    too_large = f"The body may hold {limit} bytes at most. Send fewer clips a request."
    if int(declared) > limit:
        raise Refusal("too-large", too_large)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(settings.body_deadline_s):
            more = True
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk = message.get("body", b"")
                more = message.get("more_body", False)
                size += len(chunk)
                if size > limit:
                    raise Refusal("too-large", too_large)
                hold.add(len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        raise Refusal("slow-body") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def client_left(request: Request) -> None:
    """Return when the client has closed its connection; to be used after the body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def limit_headers(caller: Caller, standing: Standing | None) -> dict[str, str]:
    """Return the RateLimit fields that the caller's plan lets out.

    Reference: draft-ietf-httpapi-ratelimit-headers-10.
    """
    plan = caller.plan
    if plan.headers == "none" or standing is None:
        return {}
    coarse = plan.headers == "coarse"
    policy, left = [], []
    if plan.rate_per_s is not None:
        policy.append(_rate_policy(plan))
        if not coarse:
            reset = math.ceil(standing.rate_reset_s or 0.0)
            left.append(f'"rate";r={standing.rate_remaining or 0};t={reset}')
    if plan.daily_budget is not None:
        policy.append(f'"daily";q={plan.daily_budget};w={DAY_S:.0f};qu="clips"')
        if not coarse:
            reset = math.ceil(standing.daily_reset_s or 0.0)
            left.append(f'"daily";r={standing.daily_remaining or 0};t={reset}')
    if standing.budget is not None:
        unit = "clips" if plan.leakage_price is None else "units"
        policy.append(f'"budget";q={standing.budget};qu="{unit}"')
        remaining = standing.remaining or 0
        left.append(f'"budget";r={_tenths(remaining, standing.budget) if coarse else remaining}')
    fields = {RATE_LIMIT_POLICY_HEADER: policy, RATE_LIMIT_HEADER: left}
    return {name: ", ".join(items) for name, items in fields.items() if items}


def veil(caller: Caller, refusal: Refusal) -> Refusal:
    """Return ``refusal`` as the caller's plan lets it out, with its RateLimit fields.

    Retry-After stays: a refusal that may be retried always says when.
    """
    headers = refusal.headers | limit_headers(caller, refusal.standing)
    detail, remaining = refusal.detail, refusal.remaining
    if caller.plan.headers != "full" and refusal.code in _TELLING:
        detail = ""
        budget = refusal.standing.budget if refusal.standing is not None else None
        # What is left of a day is told as what is left of a rate is: to those who see all.
        hidden = caller.plan.headers == "none" or refusal.code == "rate-limited"
        if hidden or remaining is None or budget is None:
            remaining = None
        else:
            remaining = _tenths(remaining, budget)
    return Refusal(
        refusal.code,
        detail,
        retry_after_s=refusal.retry_after_s,
        remaining=remaining,
        headers=headers,
        standing=refusal.standing,
        members=refusal.members,
    )


def _tenths(remaining: int, budget: int) -> int:
    """Return ``remaining`` rounded down to a tenth of ``budget``."""
    return 0 if budget == 0 else 10 * remaining // budget * budget // 10


def _rate_policy(plan: Plan) -> str:
    per_s = plan.rate_per_s or 1.0
    # Quota and window are whole numbers: less than one clip a second needs a longer window.
    quota, window = (int(per_s), 1) if per_s >= 1 else (1, math.ceil(1 / per_s))
    return f'"rate";q={quota};w={window};qu="clips"'


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0
