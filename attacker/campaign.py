"""One campaign: propose, journal, query, observe. Resuming is the same path.

Batches are sent with several in flight and answered in any order; the sampler sees them in query
order, so that the transfer set does not depend on timing. Iteration t is planned only when all of
iteration t - 1 has been observed.

Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", Algorithm 1.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol

import numpy as np

from attacker.buying import BUYS_NO_MORE, Buyer, sha256_of, words_of
from attacker.dealing import Dealer, Spread
from attacker.errors import MaterialChanged, RateLimited
from attacker.journal import ANSWERED, PLANNED, Batch, Counts, Journal
from attacker.oracle import Oracle, labels_of
from attacker.samplers import Sampler
from attacker.sources import Source
from attacker.sybil import account_in
from attacker.waiting import show_wait
from shared.audio import to_int16

End = Literal["budget-spent", "caps-met", "account-exhausted", "out-of-patience"]
"""``caps-met``: the sampler wants no more; ``account-exhausted``: the account buys no more;
``out-of-patience``: it buys no more for longer than the client waits. A Sybil's: none of them."""


@dataclass(frozen=True)
class CampaignSettings:
    """How much is bought, and how."""

    budget: int
    """Clips that the campaign may spend."""
    iterations: int = 1
    batch_clips: int = 64
    in_flight: int = 4
    accounts: int = 1
    """How many accounts of a Sybil share the budget."""
    spread: Spread = "in_turn"


@dataclass(frozen=True)
class Progress:
    """Where a campaign stands."""

    counts: Counts
    budget: int
    iterations: int
    clips_per_s: float
    """Clips answered a second since this process took the campaign up."""


class Listener(Protocol):
    """Watches a campaign."""

    def progress(self, progress: Progress) -> None:
        """Take the state after each observed batch."""

    def note(self, text: str) -> None:
        """Take a sentence for people."""


class Wanted(NamedTuple):
    """A batch that is to be planned."""

    iteration: int
    first_index: int
    clips: int
    suffix: str
    """Names the account in the batch's idempotency key; nothing where it is alone."""


def iteration_ends(budget: int, iterations: int) -> list[int]:
    """Return for each iteration the number of clips planned at its end.

    The budget is split evenly; the last iteration takes what the division leaves.
    """
    share = budget // iterations
    return [share * (t + 1) for t in range(iterations - 1)] + [budget]


class Campaign:
    """Spends a budget on clips of one source, and keeps what one sampler wants."""

    def __init__(
        self,
        settings: CampaignSettings,
        source: Source,
        sampler: Sampler,
        journal: Journal,
        oracle: Oracle,
        listener: Listener,
    ) -> None:
        self.settings = settings
        self.source = source
        self.sampler = sampler
        self.journal = journal
        self.oracle = oracle
        self.listener = listener
        self._started = time.monotonic()
        self._unwritten: Exception | None = None
        self._answered_before = journal.counts().answered
        dealt = ((account_in(key), clips) for key, clips in journal.sizes())
        dealer = Dealer(settings.budget, settings.accounts, settings.spread, dealt)
        self._buyer = Buyer(
            dealer, settings.accounts, settings.batch_clips, journal, oracle, listener.note
        )

    async def run(self) -> End:
        """Buy until the budget is spent, every cap is met, or the account buys no more for now.

        Raises:
            OracleError: the victim cannot be reached or refuses; what was bought is on disk.
            MaterialChanged: a planned batch cannot be made again as it was.
        """
        self.journal.end(None)
        self._decide(self.journal.observed_indices(), self.journal.observed_labels())
        self._observe_in_order()
        try:
            await self._buy(iter(self.journal.batches(PLANNED)))
            end = await self._buy_the_rest()
        except RateLimited as refusal:
            self.listener.note(
                f"The plan sells no more for {show_wait(refusal.retry_after_s or 1)}, which is "
                "longer than the patience of this client. What was bought is kept and nothing "
                "else was paid. Go on then with `earshot-attacker resume`, or with a longer "
                "--patience-s, which waits for it."
            )
            end = "out-of-patience"
        except BUYS_NO_MORE as refusal:
            self.listener.note(f"The account buys no more: {words_of(refusal)}")
            end = "account-exhausted"
        self._observe_in_order(over_gaps=True)
        self.journal.end(end)
        self._report()
        return end

    async def _buy_the_rest(self) -> End:
        limit = await self._limit()
        ends = iteration_ends(self.settings.budget, self.settings.iterations)
        for iteration, (start, end) in enumerate(pairwise([0, *ends]), start=1):
            if self.journal.next_index() >= end:
                continue
            # Not in the middle of an iteration, or a resumed campaign would buy less.
            if self.journal.next_index() == start and self.sampler.satisfied:
                return "caps-met"
            await self._buy(self._propose(iteration, min(end, limit)))
            if self.journal.next_index() < end and self._buyer.refusals:
                raise self._buyer.why_nobody_buys()
            if limit < end:
                return "account-exhausted"
        if self._buyer.left_behind:
            raise self._buyer.why_nobody_buys()
        return "budget-spent"

    async def _limit(self) -> int:
        """Return the query index at which the budget or the account ends."""
        account = await self.oracle.account()
        budget, bought = self.settings.budget, self.journal.next_index()
        if account.remaining is None or bought + account.remaining >= budget:
            return budget
        self.listener.note(
            f"The account has {account.remaining:,} clips left of {account.budget:,}, and this "
            f"campaign wants {budget - bought:,}: it will stop there. A budget never refills: ask "
            "for a key with a larger one, or run a smaller experiment."
        )
        return bought + account.remaining

    def _propose(self, iteration: int, end: int) -> Iterator[Wanted]:
        """Yield what to plan next, up to query index ``end``, while an account buys it."""
        while (first := self.journal.next_index()) < end and self._buyer.buys:
            suffix, clips = self._buyer.deal(end - first)
            yield Wanted(iteration, first, clips, suffix)

    async def _buy(self, batches: Iterator[Batch] | Iterator[Wanted]) -> None:
        """Send ``batches`` with several in flight; where one fails, the others still end.

        One that nobody buys does not keep those of other accounts: it is told at the end.
        """
        running: set[asyncio.Task[None]] = set()
        unsold: list[BaseException] = []
        try:
            for wanted in batches:
                clips, batch = await self._prepare(wanted)
                while len(running) >= self.settings.in_flight:
                    running = await self._reap(running, unsold)
                resent = isinstance(wanted, Batch)
                running.add(asyncio.create_task(self._query(clips, batch, resent=resent)))
            while running:
                running = await self._reap(running, unsold)
            if unsold:
                raise self._buyer.why_nobody_buys()
        except asyncio.CancelledError:
            for task in running:
                task.cancel()  # their batches stay PLANNED, and are sent again by `resume`
            raise
        finally:
            await asyncio.gather(*running, return_exceptions=True)

    async def _prepare(self, wanted: Batch | Wanted) -> tuple[np.ndarray, Batch]:
        """Make the clips (B, T) int16 of a batch, and see that it is on disk with their hash."""
        if isinstance(wanted, Batch):
            clips, sha256 = await asyncio.to_thread(self._render, wanted.indices)
            if sha256 != wanted.payload_sha256:
                raise MaterialChanged(
                    f"batch {wanted.number} was planned with other samples than "
                    f"{self.source.name} makes now, so it cannot be sent again. Resume on the "
                    "machine and with the thread count that began the campaign, or start anew."
                )
            return clips, wanted
        first, count = wanted.first_index, wanted.clips
        clips, sha256 = await asyncio.to_thread(self._render, np.arange(first, first + count))
        batch = self.journal.plan(
            iteration=wanted.iteration,
            first_index=first,
            clips=count,
            payload_sha256=sha256,
            suffix=wanted.suffix,
        )
        return clips, batch

    def _render(self, indices: np.ndarray) -> tuple[np.ndarray, str]:
        clips = to_int16(self.source.render(indices))
        return clips, sha256_of(clips)

    async def _query(self, clips: np.ndarray, batch: Batch, *, resent: bool) -> None:
        await self._buyer.buy(clips, batch, resent=resent)
        self._observe_in_order()

    async def _reap(
        self, running: set[asyncio.Task[None]], unsold: list[BaseException]
    ) -> set[asyncio.Task[None]]:
        """Return the tasks that still run; refusals go to ``unsold``, other errors are raised."""
        done, left = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        running -= done
        for task in done:
            error = task.exception()
            if isinstance(error, BUYS_NO_MORE):
                unsold.append(error)
            elif error is not None:
                raise error
        return left

    def _observe_in_order(self, *, over_gaps: bool = False) -> None:
        """Let the sampler decide on answered batches, up to the first that is still awaited.

        A campaign that ends for want of money observes beyond that, for all of it was paid.
        """
        if self._unwritten is not None:
            raise self._unwritten  # the sampler knows more than the journal: nothing may go on
        behind = self._buyer.left_behind
        planned = [batch for batch in self.journal.batches(PLANNED) if batch.number not in behind]
        gap = planned[0].first_index if planned and not over_gaps else None
        for batch in self.journal.batches(ANSWERED):
            if gap is not None and batch.first_index > gap:
                break
            labels = labels_of(self.journal.answers(batch))
            keep = self._decide(batch.indices, labels)
            try:
                self.journal.observe(batch, labels, keep)
            except Exception as error:
                self._unwritten = error
                raise
            self._report()

    def _decide(self, indices: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return which answers (B,) are kept; the sampler never hears of mere company."""
        keep = self.source.trained_on(indices)
        keep[keep] = self.sampler.observe(labels[keep])
        return keep

    def _report(self) -> None:
        counts = self.journal.counts()
        elapsed_s = max(time.monotonic() - self._started, 1e-3)
        rate = (counts.answered - self._answered_before) / elapsed_s
        settings = self.settings
        self.listener.progress(Progress(counts, settings.budget, settings.iterations, rate))
