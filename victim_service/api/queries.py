"""The route that sells answers, from the first header to the last byte.

It is served in front of FastAPI, whose routing costs more than all that a query needs of the wire;
:mod:`victim_service.api.routes` describes it there.
"""

import asyncio
import secrets
from functools import partial

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shared import contract
from victim_service import failpoints
from victim_service.api import guards, problems
from victim_service.buying import Sent
from victim_service.classify import classify
from victim_service.errors import ClientGone, Refusal
from victim_service.labels import encode
from victim_service.parts import Parts

_LONG_ANSWER = 10_000
"""Numbers in a JSON answer above which it is not written on the event loop."""
_SAMPLE_BYTES = 2
"""Of int16, which clients send; float32 is taken for twice as many clips as it holds, which only
matters to a queue that is nearly full."""
_DRAIN_RETRY_S = 5.0
_CLOSE = {"Connection": "close"}


class Queries:
    """Pure ASGI middleware that answers the classify route and passes everything else on.

    A query that the queue has no room for is refused at the door: before the key is looked up and
    before a byte of the body is read, so that refusing costs next to nothing under overload. The
    queue itself decides again when the clips are known and before they are paid.
    """

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app = app
        self._parts = parts
        self._clip_bytes = _SAMPLE_BYTES * parts.card.clip_samples
        self._largest = parts.settings.max_batch_clips

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a query, or pass the request on."""
        if (
            scope["type"] != "http"
            or scope["path"] != contract.CLASSIFY_PATH
            or scope["method"] != "POST"
        ):
            await self._app(scope, receive, send)
            return
        try:
            self._check_room(scope)
            response = await answer(self._parts, Request(scope, receive))
        except Refusal as refusal:
            response = problems.refused(scope, self._parts.metrics, refusal)
        except ClientGone:
            response = problems.gone(scope)
        await response(scope, receive, send)

    def _check_room(self, scope: Scope) -> None:
        if self._parts.draining:
            raise Refusal("draining", retry_after_s=_DRAIN_RETRY_S, headers=dict(_CLOSE))
        length, media_type = b"", b""
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = value
            elif name == b"content-type":
                media_type = value
        size = int(length) if length.isdigit() else None
        self._parts.batcher.check_room(self._clips(size, media_type))

    def _clips(self, size: int | None, media_type: bytes) -> int:
        kind = media_type.partition(b";")[0].strip().lower()
        if size is None or kind != contract.NPY_MEDIA_TYPE.encode():
            return 1
        return min(max(1, size // self._clip_bytes), self._largest)


async def answer(parts: Parts, request: Request) -> Response:
    """Answer what the key's plan releases. One clip is one query; a batch of B costs B.

    Raises:
        Refusal: nothing was charged.
        ClientGone: nobody is there to be told.
    """
    caller = await guards.identify(request, parts)
    answer_type = guards.answer_type(request)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    given = guards.idempotency_key(request)
    idempotency = given or secrets.token_hex(16)
    proof = request.headers.get(contract.PROOF_HEADER, "")
    named = {} if given else {contract.IDEMPOTENCY_HEADER: idempotency}
    with parts.bodies.hold() as hold:
        body = await guards.read_body(request, parts, media_type, hold)
        sent = Sent(body, media_type, idempotency, given is not None, proof)
        try:
            bought = await classify(parts, caller, sent, partial(guards.client_left, request))
        except Refusal as refusal:
            refusal.headers |= named
            raise guards.veil(caller, refusal) from refusal
    clips = len(bought.released.labels)
    request.state.clips = clips
    request.state.labels = bought.released.labels.tolist()
    headers = named | guards.limit_headers(caller, bought.grant.standing)
    if bought.grant.replayed:
        headers[contract.REPLAYED_HEADER] = "true"
    names = parts.card.labels
    if answer_type == contract.JSON_MEDIA_TYPE and len(names) * clips > _LONG_ANSWER:
        content = await asyncio.to_thread(encode, bought.released, names, answer_type)
    else:
        content = encode(bought.released, names, answer_type)
    await failpoints.reach("before-answer")
    return Response(content, headers=headers, media_type=answer_type)
