"""The whole life of a query: decode, reserve, batch, model, defences, labels, commit."""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from shared.audio import AudioError, decode_clips
from victim_service import buying, failpoints, policies
from victim_service.batching import Place
from victim_service.buying import Caller, Offer, Sent, TermsChanged, timed
from victim_service.defences import Asked, defend
from victim_service.detectors import Seen
from victim_service.errors import ClientGone, Refusal
from victim_service.labels import Released, release
from victim_service.ledger.base import Grant, Query
from victim_service.observing import watches
from victim_service.parts import Parts
from victim_service.plan_book import Sold
from victim_service.waiting import Array

ClientLeft = Callable[[], Awaitable[None]]

_OFF_LOOP_BYTES = 32_768
_OFF_LOOP_NUMBERS = 10_000
"""Probabilities above which they are not worked on in the event loop."""
_UNWATCHED_S = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    """What leaves, and what it cost."""

    released: Released
    grant: Grant


async def classify(parts: Parts, caller: Caller, sent: Sent, client_left: ClientLeft) -> Answer:
    """Answer ``sent``; ``client_left`` returns when nobody waits for the answer any more.

    Raises:
        Refusal: nothing was charged.
        ClientGone: what a query that the client named holds stays charged until it is retried,
            and is then bought as it is sold at that moment, or until it is reaped.
    """
    offered = await buying.offer(parts, caller)
    clips, payload = await _decode(parts, sent)
    while True:
        query = await buying.ask(parts, caller, offered, sent, payload, len(clips))
        try:
            return await _sell(parts, caller, offered, sent, query, clips, client_left)
        except TermsChanged:  # which takes a step of the ladder each time
            offered = await buying.offer(parts, caller)


async def _sell(
    parts: Parts,
    caller: Caller,
    offered: Offer,
    sent: Sent,
    query: Query,
    clips: Array,
    client_left: ClientLeft,
) -> Answer:
    ledger = parts.ledger
    with parts.batcher.admit(len(clips)) as place:
        await failpoints.reach("before-reserve")
        grant = await buying.reserve(parts, caller, query)
        try:
            await failpoints.reach("after-reserve")
            terms, version = await buying.granted(parts, caller, offered, grant)
            await failpoints.reach("before-model")
            rows = await _predict(parts, place, clips, client_left)
            await failpoints.reach("after-model")
            probabilities = rows[:, : len(parts.card.labels)]
            cost = terms.units(policies.cost(terms.plan, probabilities), len(clips))
            released = await _release(
                parts, query, grant, Sold(terms.plan, version), clips, probabilities
            )
            if caller.metered and not grant.replayed and watches(caller.plan):
                seen = Seen(rows[:, probabilities.shape[1] :], probabilities, clips)
                await parts.observing.observe(caller.plan, query, seen)
        except ClientGone:
            # Who left before learning the query's name cannot come back for it.
            end = ledger.abandon if sent.named else ledger.release
            with contextlib.suppress(Refusal):
                await end(query, grant)
            raise
        except BaseException:
            with contextlib.suppress(Refusal):  # then the reaper releases it
                await ledger.release(query, grant)
            raise
    await failpoints.reach("before-commit")
    if caller.metered and not grant.replayed:
        await timed(parts, "commit", ledger.commit(query, grant, cost))
        spent = len(clips) if cost is None else cost
        parts.metrics.budget_spent.labels(caller.plan.name).inc(spent)
    await failpoints.reach("after-commit")
    parts.metrics.clips.labels(caller.plan.name, "yes" if grant.charged else "no").inc(len(clips))
    return Answer(released, _settled(grant, cost))


def _settled(grant: Grant, cost: int | None) -> Grant:
    """Return ``grant`` as it stands once what was reserved beyond ``cost`` was given back."""
    back = 0 if cost is None else max(0, grant.charged - cost)
    if not back:
        return grant
    left = grant.standing
    remaining = None if left.remaining is None else left.remaining + back
    standing = replace(left, spent=left.spent - back, remaining=remaining)
    return replace(grant, charged=grant.charged - back, standing=standing)


async def _decode(parts: Parts, sent: Sent) -> tuple[Array, bytes]:
    """Return the clips (B, T) and the digest of what was sent."""

    def work() -> tuple[Array, bytes]:
        clips = decode_clips(
            sent.body,
            sent.media_type,
            sample_rate_hz=parts.card.sample_rate_hz,
            clip_samples=parts.card.clip_samples,
            max_clips=parts.settings.max_batch_clips,
        )
        return clips, hashlib.sha256(sent.body).digest()

    try:
        # Of FLAC, a few hostile bytes can take milliseconds.
        if len(sent.body) < _OFF_LOOP_BYTES and "flac" not in sent.media_type:
            return work()
        return await asyncio.to_thread(work)
    except AudioError as error:
        raise Refusal(error.code, str(error)) from error


async def _predict(parts: Parts, place: Place, clips: Array, client_left: ClientLeft) -> Array:
    """Return the rows (B, K + E), unless the deadline passes or the client leaves before."""
    answer = place.push(clips)
    try:
        # Most answers are there before it is worth watching the client.
        done, _ = await asyncio.wait((answer,), timeout=_UNWATCHED_S)
        if not done:
            await _first(answer, client_left, parts.settings.answer_deadline_s)
        return answer.result()
    finally:
        place.drop()


async def _first(answer: asyncio.Future[Array], client_left: ClientLeft, timeout_s: float) -> None:
    """Return when ``answer`` is there.

    Raises:
        ClientGone: the client left before.
        Refusal: deadline-passed.
    """
    left = asyncio.ensure_future(client_left())
    try:
        done, _ = await asyncio.wait(
            (answer, left), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        left.cancel()
    if answer in done:
        return
    if left in done:
        raise ClientGone
    raise Refusal("deadline-passed", retry_after_s=1.0)


async def _release(
    parts: Parts, query: Query, grant: Grant, sold: Sold, clips: Array, probabilities: Array
) -> Released:
    """Return what leaves of the model's ``probabilities`` (B, K) on ``clips`` (B, T)."""
    plan = sold.plan

    def work() -> Released:
        asked = Asked(
            secret=parts.secret,
            account=query.account,
            checkpoint=query.model,
            plan=plan.name,
            plan_version=sold.version,
            state=grant.state,
        )
        rows = policies.shown(plan, grant.state, probabilities)
        return release(defend(rows, clips, plan.defences, asked), plan)

    if probabilities.size > _OFF_LOOP_NUMBERS or plan.defences:
        return await asyncio.to_thread(work)
    return work()
