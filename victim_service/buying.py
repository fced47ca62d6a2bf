"""Buying an answer: who asks, under which terms, for what work, and the reservation.

The terms of an account are read before the ledger reserves, since price, work and policies follow
from them, and the ledger tells with its grant in which state it reserved. Where a step of the
ladder came between, the two differ, and nothing is answered: the reservation goes back, and the
query is bought again (``TermsChanged``). A replay needs no terms but those of its first answer.
"""

import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from victim_service import proofs
from victim_service.account_state import AccountState
from victim_service.errors import Refusal
from victim_service.ladder import Terms, terms_of
from victim_service.ledger.base import Grant, Policy, Query, Standing
from victim_service.ledger.records import KeyRecord
from victim_service.parts import Parts
from victim_service.plan_book import Sold
from victim_service.plans import Plan

ResultT = TypeVar("ResultT")

_NO_GRANT = Grant("", charged=0, replayed=False, standing=Standing())


class TermsChanged(Exception):  # noqa: N818 - no error: it is bought again
    """The account was taken to another rung between the reading of its terms and the sale."""


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
class Offer:
    """Under what an account is served at one moment."""

    terms: Terms
    state: AccountState
    """As much of it as the terms and the work depend on."""


async def offer(parts: Parts, caller: Caller) -> Offer:
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
    return Offer(terms, state)


async def ask(
    parts: Parts, caller: Caller, offered: Offer, sent: Sent, payload: bytes, clips: int
) -> Query:
    """Return what is to be reserved, once the work that it asks for was done; mostly that is none.

    Raises:
        Refusal: idempotency-key-missing; proof-required, or why nothing could be sold for work.
    """
    if not sent.named and clips > 1:
        raise Refusal("idempotency-key-missing")
    terms = offered.terms
    plan = terms.plan
    policies = caller.policies
    if caller.metered and plan is not caller.plan:
        policies = plan.policies(caller.key, parts.settings.global_budget)
    query = Query(
        account=caller.key.account,
        key_id=caller.key.key_id,
        plan=caller.plan.name,
        idempotency=f"client:{sent.idempotency}",
        payload=payload,
        clips=clips,
        policies=policies,
        plan_version=caller.sold.version,
        model=parts.card.checkpoint_id,
        cost=terms.units(plan.reserved(clips), clips),
    )
    wanted = proofs.demand(plan.defences, offered.state, clips, at_least=terms.bits)
    if wanted is not None:
        await proofs.require(parts.ledger, parts.secret, query, wanted, sent.proof)
    return query


async def reserve(parts: Parts, caller: Caller, query: Query) -> Grant:
    """Reserve ``query``, or enter the use of an audit key.

    Raises:
        Refusal: the ledger does not sell it.
    """
    if not caller.metered:
        await timed(parts, "audit", parts.ledger.note_audit(query))
        return _NO_GRANT
    reservation = parts.ledger.reserve(query, parts.settings.lease_s)
    return await timed(parts, "reserve", reservation)


async def granted(parts: Parts, caller: Caller, offered: Offer, grant: Grant) -> tuple[Terms, int]:
    """Return the terms, and the version of the plan, that decide the answer for ``grant``.

    Raises:
        TermsChanged: it was not reserved under what was ``offered``.
        Refusal: internal.
    """
    plan: Plan | None = caller.plan
    version = grant.plan_version if caller.metered else caller.sold.version
    if version != caller.sold.version:
        plan = await parts.plan_book.at(caller.plan.name, version)
    if plan is None:
        raise Refusal("internal", "The ledger has lost a version of the plan. Tell the operator.")
    rung = AccountState.read(grant.state).rung if plan.ladder is not None else 0
    terms = terms_of(plan, rung)
    if caller.metered and not grant.replayed and terms != offered.terms:
        raise TermsChanged
    return terms, version


async def timed(parts: Parts, step: str, call: Awaitable[ResultT]) -> ResultT:
    """Return what ``call`` to the ledger returns, and measure how long it took."""
    begun = time.perf_counter()
    try:
        return await call
    finally:
        parts.metrics.ledger_s.labels(step).observe(time.perf_counter() - begun)
