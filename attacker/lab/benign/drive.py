"""Drives a victim as an honest user does: at times of its own, whether or not it is answered."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from attacker.errors import OracleError, Refusal
from attacker.oracle import Oracle
from shared.honest.base import HonestUser

MOST_OPEN = 64
"""Requests that may wait at once; arrivals beyond that wait for their turn, and it counts."""


@dataclass(frozen=True)
class Traffic:
    """How much a user asks, and how fast."""

    clips: int
    rate_per_s: float
    """Clips a second in the long run; batches come as a Poisson process."""
    batch_clips: int = 1
    patience_s: float = 30.0
    """How long a user waits for one answer, refusals and all, before it is given up."""


@dataclass
class Buyer:
    """One key of the user, and what became of its requests."""

    oracle: Oracle
    latencies_s: list[float] = field(default_factory=list)
    """Of every answered request, refusals that it met included."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Refused requests by code, those that were answered later included."""
    given_up: Counter[str] = field(default_factory=Counter)
    """Clips that were never answered, by the reason."""

    def on_event(self, name: str, facts: dict[str, object]) -> None:
        """Count what the oracle tells."""
        if name == "refusal":
            self.refusals[str(facts["code"])] += 1

    async def ask(self, clips: np.ndarray, key: str, patience_s: float) -> np.ndarray | None:
        """Return the answers to ``clips`` (B, T), or None where the user gave up."""
        began = time.perf_counter()
        try:
            answers = await asyncio.wait_for(self.oracle.classify(clips, key), patience_s)
        except TimeoutError:
            self.given_up["patience"] += len(clips)
            return None
        except Refusal as refusal:
            self.given_up[refusal.code] += len(clips)
            return None
        self.latencies_s.append(time.perf_counter() - began)
        return answers


@dataclass(frozen=True)
class Driven:
    """What a user got."""

    answered: np.ndarray
    """(N,) bool: which clips were answered."""
    answers: np.ndarray
    """(A, K) or (A,): the answers to those, in the order of the clips."""
    truth: np.ndarray
    """(N,) int64: who speaks in each clip."""


async def drive(
    user: HonestUser, traffic: Traffic, buyer: Buyer, base: Buyer, *, run: str
) -> Driven:
    """Send the traffic under the user's key, and each batch under ``base`` beside it.

    The two are asked one after the other, either one first by turns, so that their latencies are
    of the same moments. Only refusals are a user's lot.

    Raises:
        OracleError: the victim cannot be reached, or answers nonsense.
    """
    sent = [
        np.arange(first, min(first + traffic.batch_clips, traffic.clips))
        for first in range(0, traffic.clips, traffic.batch_clips)
    ]
    gaps = user.stream("arrivals").exponential(
        traffic.batch_clips / traffic.rate_per_s, size=len(sent)
    )
    parts: dict[int, np.ndarray] = {}
    truth = np.zeros(traffic.clips, dtype=np.int64)
    gate = asyncio.Semaphore(MOST_OPEN)

    async def one(number: int, queries: np.ndarray) -> None:
        async with gate:
            clips, truth[queries] = await asyncio.to_thread(user.clips, queries)
            for asked in (buyer, base) if number % 2 else (base, buyer):
                answers = await asked.ask(clips, f"{run}-{number:08d}", traffic.patience_s)
                if asked is buyer and answers is not None:
                    parts[number] = answers

    arrives, began, running = 0.0, time.monotonic(), set[asyncio.Task[None]]()
    try:
        for number, (queries, gap) in enumerate(zip(sent, gaps, strict=True)):
            arrives += float(gap)
            await asyncio.sleep(max(0.0, began + arrives - time.monotonic()))
            running.add(asyncio.create_task(one(number, queries)))
            running = _reaped(running)
        while running:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running = _reaped(running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    answered = np.zeros(traffic.clips, dtype=bool)
    for number in parts:
        answered[sent[number]] = True
    empty = np.zeros(0, dtype=np.int64)
    answers = np.concatenate([parts[number] for number in sorted(parts)]) if parts else empty
    return Driven(answered, answers, truth)


def _reaped(running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Return the tasks that still run; the first error of the others is raised."""
    for task in running:
        if task.done():
            error = task.exception()
            if error is not None:
                raise error
    return {task for task in running if not task.done()}


async def undefended(oracle: Oracle, user: HonestUser, queries: np.ndarray, run: str) -> np.ndarray:
    """Return what the model itself says (N, K) of ``queries`` (N,), under an audit key.

    Raises:
        OracleError: the victim cannot be reached, or the key gets no complete answers.
    """
    card, account = await oracle.card(), await oracle.account()
    if account.budget is not None or card.label_mode != "soft":
        raise OracleError(
            f"the key of account {account.account!r} is metered or gets incomplete answers, so it "
            "cannot measure. Issue one with `earshot-victim keys issue --scope audit`."
        )
    size, parts = min(64, card.max_batch_clips), []
    for first in range(0, len(queries), size):
        clips, _ = await asyncio.to_thread(user.clips, queries[first : first + size])
        parts.append(await oracle.classify(clips, f"{run}-audit-{first:08d}"))
    return np.concatenate(parts)
