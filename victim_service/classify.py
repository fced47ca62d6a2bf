"""The whole life of a query: decode, reserve, batch, model, defences, labels, commit."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from shared.audio import AudioError, decode_clips
from victim_service import failpoints, policies, proofs
from victim_service.account_state import AccountState
from victim_service.batching import Place
from victim_service.defences import Asked, defend
from victim_service.detectors import Seen
from victim_service.errors import ClientGone, Refusal
from victim_service.labels import Released, release
from victim_service.ladder import Terms, terms_of
from victim_service.ledger.base import Grant, Policy, Query, Standing
from victim_service.ledger.records import KeyRecord
from victim_service.observing import watches
from victim_service.parts import Parts
from victim_service.plan_book import Sold
from victim_service.plans import Plan
from victim_service.waiting import Array

ResultT = TypeVar("ResultT")
ClientLeft = Callable[[], Awaitable[None]]

_OFF_LOOP_BYTES = 32_768
_OFF_LOOP_NUMBERS = 10_000
"""Probabilities above which they are not worked on in the event loop."""
_UNWATCHED_S = 0.05
_NO_GRANT = Grant("", charged=0, replayed=False, standing=Standing())


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and under which plan."""

    key: KeyRecord
    sold: Sold
    policies: tuple[Policy, ...]
    metered: bool

    @property
    def plan(self) -> Plan:
        """The plan as it is sold now."""
        return self.sold.plan


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent: a whole body, its media type, and the name of the query."""

    body: bytes = field(repr=False)
    media_type: str
    idempotency: str = field(repr=False)
    named: bool = True
    """Whether the client gave the idempotency key; one that was made for it is told with the
    answer, so that what was paid can be had, whatever happens on the way."""
    proof: str = field(default="", repr=False)
    """The work that the client says it has done; empty when it says nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What leaves, and what it cost."""

    released: Released
    grant: Grant


async def classify(parts: Parts, caller: Caller, sent: Sent, client_left: ClientLeft) -> Answer:
    """Answer ``sent``; ``client_left`` returns when nobody waits for the answer any more.

    Raises:
        Refusal: nothing was charged.
        ClientGone: the reservation of a query that the client named stands, and a retry with the
            same key takes it over, paid.
    """
    terms, state = await _terms(parts, caller)
    clips, payload = await _decode(parts, sent)
    query = _query(parts, caller, terms, sent, payload, len(clips))
    ledger = parts.ledger
    await _check_work(parts, terms, state, query, sent.proof)
    with parts.batcher.admit(len(clips)) as place:
        await failpoints.reach("before-reserve")
        grant = await _reserve(parts, caller, query)
        try:
            await failpoints.reach("after-reserve")
            terms, version = await _bought(parts, caller, grant)
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
        await _timed(parts, "commit", ledger.commit(query, grant, cost))
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


async def _terms(parts: Parts, caller: Caller) -> tuple[Terms, AccountState]:
    """Return under what the caller is served now; the ledger is asked only where it matters.

    Raises:
        Refusal: account-suspended.
    """
    plan, state = caller.plan, AccountState()
    if plan.ladder is not None or proofs.asks_for_state(plan.defences):
        state = AccountState.read(await parts.ledger.account_state(caller.key.account))
    terms = terms_of(plan, state.rung)
    if terms.suspended:
        raise Refusal("account-suspended")
    return terms, state


def _query(
    parts: Parts, caller: Caller, terms: Terms, sent: Sent, payload: bytes, clips: int
) -> Query:
    plan = terms.plan
    if not sent.named and clips > 1:
        raise Refusal("idempotency-key-missing")
    return Query(
        account=caller.key.account,
        key_id=caller.key.key_id,
        plan=caller.plan.name,
        idempotency=f"client:{sent.idempotency}",
        payload=payload,
        clips=clips,
        policies=caller.policies
        if plan is caller.plan
        else plan.policies(caller.key, parts.settings.global_budget),
        plan_version=caller.sold.version,
        model=parts.card.checkpoint_id,
        cost=terms.units(plan.reserved(clips), clips),
    )


async def _check_work(
    parts: Parts, terms: Terms, state: AccountState, query: Query, proof: str
) -> None:
    """Return when the work that is asked for is done; as a rule there is none."""
    wanted = proofs.demand(terms.plan.defences, state, query.clips, at_least=terms.bits)
    if wanted is not None:
        await proofs.require(parts.ledger, parts.secret, query, wanted, proof)


async def _reserve(parts: Parts, caller: Caller, query: Query) -> Grant:
    if not caller.metered:
        await _timed(parts, "audit", parts.ledger.note_audit(query))
        return _NO_GRANT
    reservation = parts.ledger.reserve(query, parts.settings.lease_s)
    return await _timed(parts, "reserve", reservation)


async def _bought(parts: Parts, caller: Caller, grant: Grant) -> tuple[Terms, int]:
    """Return the terms, and the version of the plan, that the query was first reserved under.

    They decide the answer, which never changes.

    Raises:
        Refusal: account-suspended, by a step that was taken while the query was reserved.
    """
    plan: Plan | None = caller.plan
    if caller.metered and grant.plan_version != caller.sold.version:
        plan = await parts.plan_book.at(caller.plan.name, grant.plan_version)
    if plan is None:
        raise Refusal("internal", "The ledger has lost a version of the plan. Tell the operator.")
    rung = AccountState.read(grant.state).rung if plan.ladder is not None else 0
    terms = terms_of(plan, rung)
    if terms.suspended:
        raise Refusal("account-suspended")
    return terms, grant.plan_version if caller.metered else caller.sold.version


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


async def _timed(parts: Parts, step: str, call: Awaitable[ResultT]) -> ResultT:
    begun = time.perf_counter()
    try:
        return await call
    finally:
        parts.metrics.ledger_s.labels(step).observe(time.perf_counter() - begun)
