"""The ledger that many replicas share: one Redis, exact under any number of them.

Every step is one Lua script, by the clock of Redis. A reservation carries a token that its caller
made. So it may be sent once more when a connection breaks before the answer came: the script finds
the token in the record, and grants what it granted the first time without charging again. A caller
that waited in vain has the token too: the reservation is taken back in the background as soon as
Redis answers again, and takes no effect if it arrives later still. If even that is lost, the lease
ends: a retry gives it back as it buys anew, and the reaper gives back what nobody retries.

This holds for one primary. A replica that takes its place without the latest writes has forgotten
sales, and nothing here can know of it; a Redis that comes back empty is refused.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Any

from victim_service.errors import Refusal
from victim_service.ledger import redis_scripts as scripts
from victim_service.ledger import standing as arithmetic
from victim_service.ledger.base import Grant, Policy, Query, Standing
from victim_service.ledger.patience import new_token, unreachable
from victim_service.ledger.redis_accounts import RedisAccounts
from victim_service.ledger.redis_link import Word
from victim_service.ledger.redis_scripts import PREFIX
from victim_service.ledger.standing import Reading

_REAP_AT_ONCE = 256
_UNDO_AT_MOST = 4096
_UNDO_EVERY_S = 0.25
_LOOK = ""
"""The token of who only asks what a reservation would be."""


class RedisLedger(RedisAccounts):
    """The ``Ledger`` protocol on one Redis, 6.2 or newer, at ``redis://`` or ``rediss://``."""

    def __init__(self, url: str, timeout_s: float = 0.9, *, create: bool = True) -> None:
        super().__init__(url, timeout_s, create=create)
        self._unheard: deque[tuple[str, str, str]] = deque(maxlen=_UNDO_AT_MOST)
        """(account, idempotency key, token) of reservations whose answer was not heard."""
        self._undoing: asyncio.Task[None] | None = None

    async def reserve(self, query: Query, lease_s: float) -> Grant:
        """Charge all policies or none; see :class:`~victim_service.ledger.base.Ledger`."""
        token = new_token()
        link = self._link()
        call = link.submit(scripts.RESERVE, _reserve_words(query, token, lease_s))
        try:
            reply = await link.wait(call)
        except BaseException:
            # It may have gone through: nobody was told of it, so nobody shall pay for it.
            if call.sent:
                self._undo_later(query, token)
            raise
        return _grant(query, token, reply)

    async def commit(self, query: Query, grant: Grant, cost: int | None = None) -> None:
        """Make a reservation final, and give back what it is above ``cost``."""
        settled = arithmetic.settled(cost)
        held = (query.account, query.idempotency, grant.token)
        if not await self._run(scripts.COMMIT, *held, "" if settled is None else settled):
            raise arithmetic.too_late()

    async def release(self, query: Query, grant: Grant) -> None:
        """Give what was reserved back after a fault of the server."""
        await self._end(query.account, query.idempotency, grant.token, "release")

    async def abandon(self, query: Query, grant: Grant) -> None:
        """End the lease of a query whose client left."""
        await self._end(query.account, query.idempotency, grant.token, "abandon")

    async def note_audit(self, query: Query) -> None:
        """Enter unmetered use."""
        payer = (query.account, query.key_id, query.plan, query.plan_version)
        words = (*payer, query.idempotency, query.clips)
        await self._run(scripts.AUDIT, *words, repeatable=False)

    async def would_replay(self, query: Query) -> bool:
        """Whether a reservation would be a replay; refused as that would be."""
        reply = await self._run(scripts.RESERVE, *_reserve_words(query, _LOOK, 0.0))
        return _grant(query, _LOOK, reply).replayed

    async def standing(self, policies: Sequence[Policy]) -> Standing:
        """Return what is left, without changing anything."""
        counted = arithmetic.budget_subjects(policies)
        paced = [rate.subject for rate in arithmetic.rates(policies)]
        now, replies = await self._calls(
            *(("HGET", f"{PREFIX}spent", subject) for subject in counted),
            *(("HGET", f"{PREFIX}rates", subject) for subject in paced),
        )
        spent = [int(clips or 0) for clips in replies[: len(counted)]]
        arrivals = [float(arrival or 0) for arrival in replies[len(counted) :]]
        reading = Reading(
            dict(zip(counted, spent, strict=True)), dict(zip(paced, arrivals, strict=True)), now
        )
        return arithmetic.standing(policies, reading)

    async def reap(self, ttl_s: float) -> int:
        """Release long-abandoned reservations and count them, a few in each script."""
        total = 0
        while reaped := await self._run(scripts.REAP, ttl_s, _REAP_AT_ONCE):
            total += reaped
        return total

    async def aclose(self) -> None:
        """Let go of Redis; what was not heard of is left to its lease."""
        if self._undoing is not None and not self._undoing.done():
            self._undoing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._undoing
        await self._close_link()

    async def _end(self, account: str, idempotency: str, token: str, how: str) -> None:
        await self._run(scripts.RELEASE, account, idempotency, token, how)

    def _undo_later(self, query: Query, token: str) -> None:
        self._unheard.append((query.account, query.idempotency, token))
        loop = asyncio.get_running_loop()
        if self._undoing is None or self._undoing.done() or self._undoing.get_loop() is not loop:
            self._undoing = loop.create_task(self._undo())

    async def _undo(self) -> None:
        """Take reservations back that nobody was told of, once Redis answers again."""
        while self._unheard:
            await asyncio.sleep(_UNDO_EVERY_S)
            with contextlib.suppress(Refusal, IndexError):
                while True:
                    unheard = self._unheard[0]
                    await self._end(*unheard, "undo")
                    with contextlib.suppress(ValueError):  # the bound pushed it out meanwhile
                        self._unheard.remove(unheard)


def _reserve_words(query: Query, token: str, lease_s: float) -> list[Word]:
    limits: dict[str, int | None] = {}
    for budget in arithmetic.budgets(query.policies):
        known = limits.get(budget.subject)
        tighter = [limit for limit in (known, budget.limit) if limit is not None]
        limits[budget.subject] = min(tighter, default=None)
    words: list[Word] = [query.account, query.idempotency, query.payload, query.clips]
    words += [query.key_id, query.plan, query.plan_version, query.model, token, lease_s]
    words.append(query.units)
    words.append(len(limits))
    for subject, limit in limits.items():
        words += [subject, "" if limit is None else limit]
    for rate in arithmetic.rates(query.policies):
        words += [rate.subject, rate.per_s, rate.burst]
    return words


def _grant(query: Query, token: str, reply: list[Any]) -> Grant:
    """Return what ``reserve.lua`` granted, or raise its refusal with the texts of all backends."""
    outcome = reply[0].decode()
    if outcome == "other-bytes":
        raise arithmetic.other_bytes()
    if outcome == "other-plan":
        raise arithmetic.other_plan()
    if outcome == "other-model":
        raise arithmetic.other_model()
    if outcome == "still-running":
        raise arithmetic.still_running(float(reply[1]))
    if outcome == "void":
        raise unreachable("it was taken back before it arrived")
    _, now, cost, replayed, version, defence_state, spent, arrivals = reply
    subjects = arithmetic.budget_subjects(query.policies)
    paced = [rate.subject for rate in arithmetic.rates(query.policies)]
    reading = Reading(
        dict(zip(subjects, spent, strict=True)),
        dict(zip(paced, map(float, arrivals), strict=True)),
        float(now),
    )
    if outcome == "refused":
        arithmetic.allow(query.policies, reading, cost=cost, clips=query.clips)
        raise RuntimeError("reserve.lua refused what standing.allow allows. Make them agree.")
    left = arithmetic.standing(query.policies, reading)
    return Grant(token, cost, bool(replayed), left, int(version), defence_state.decode())
