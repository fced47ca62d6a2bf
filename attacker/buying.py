"""Buys one batch after another, from whichever account sells it and in whichever size.

What becomes of a batch that is refused depends on whether it may have been paid for. If it was
never sent before, it is not: it is cut in two where a part may be sold, or goes to another account
of a Sybil. Otherwise only the account that it was sent from can be asked again, where the answer
costs nothing.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from attacker.dealing import Dealer
from attacker.errors import (
    AccountSuspended,
    BatchExceedsBurst,
    BudgetExhausted,
    OracleError,
    ProofTooHard,
    RateLimited,
)
from attacker.journal import Batch, Journal
from attacker.oracle import Oracle
from attacker.sybil import account_in, suffixes

BUYS_NO_MORE = (
    AccountSuspended,
    BudgetExhausted,
    RateLimited,
    BatchExceedsBurst,
    ProofTooHard,
)
"""What ends an account's part in a campaign."""


class _Part(NamedTuple):
    """A batch on its way, or what became of one."""

    clips: np.ndarray
    """(B, T) int16."""
    batch: Batch
    resent: bool


class Buyer:
    """The accounts of a campaign, one or a Sybil's, and what each has been refused.

    Args:
        dealer: says whose turn it is.
        accounts: how many there are.
        batch_clips: most clips of a batch.
        journal: is told of every change of a batch before it is sent.
        oracle: the victim, as all accounts see it.
        note: takes a sentence for people.
    """

    def __init__(
        self,
        dealer: Dealer,
        accounts: int,
        batch_clips: int,
        journal: Journal,
        oracle: Oracle,
        note: Callable[[str], None],
    ) -> None:
        self._dealer = dealer
        self._suffixes = suffixes(accounts)
        self._batch_clips = batch_clips
        self._journal = journal
        self._oracle = oracle
        self._note = note
        self.refusals: dict[int, OracleError] = {}
        """By the numbers of the accounts that buy no more."""
        self.left_behind: set[int] = set()
        """Numbers of planned batches that such an account may have paid for."""

    @property
    def buys(self) -> bool:
        """Whether an account that is not refused has clips left of its share."""
        return self._dealer.left

    def deal(self, most: int) -> tuple[str, int]:
        """Return the suffix of the account that buys next, and how many of ``most`` clips."""
        account, clips = self._dealer.deal(min(self._batch_clips, most))
        return self._suffixes[account], clips

    async def buy(self, clips: np.ndarray, batch: Batch, *, resent: bool) -> None:
        """Put the answers to ``clips`` (B, T) int16 on disk, unless the batch is left behind.

        One that is ``resent`` was sent by an earlier process, and may have been paid for.

        Raises:
            OracleError: the victim cannot be reached, or no account is left that buys the batch.
        """
        waiting = [_Part(clips, batch, resent)]
        while waiting:
            part = waiting.pop()
            waiting += reversed(await self._buy(part))

    async def _buy(self, part: _Part) -> list[_Part]:
        """Buy ``part``, or return what is to be bought in its place."""
        if account_in(part.batch.key) in self.refusals and not part.resent:
            return self._pass_on(part)
        try:
            answers = await self._oracle.classify(part.clips, part.batch.key)
        except BUYS_NO_MORE as refusal:
            return self._instead(part, refusal)
        self._journal.answer(part.batch, answers)
        return []

    def _instead(self, part: _Part, refusal: OracleError) -> list[_Part]:
        batch = part.batch
        unpaid = not (part.resent or refusal.perhaps_paid)
        if unpaid and 0 < (sold := self._sold_of(batch, refusal)) < batch.clips:
            return self._cut(part, sold)
        self._refuse(account_in(batch.key), refusal)
        # A budget that is spent is said of what was not paid: a replay does not ask for it.
        if not unpaid and not isinstance(refusal, BudgetExhausted):
            self._leave_behind(batch)
            return []
        return self._pass_on(part)

    def _sold_of(self, batch: Batch, refusal: OracleError) -> int:
        """Return how many clips of a refused batch may be sold now, as far as that is known."""
        if isinstance(refusal, BatchExceedsBurst):
            half = batch.clips // 2
            # None that is dealt later is larger.
            self._batch_clips = min(self._batch_clips, max(1, half))
            return half
        left = refusal.remaining if isinstance(refusal, BudgetExhausted | RateLimited) else None
        return left or 0

    def _cut(self, part: _Part, first: int) -> list[_Part]:
        """Return a part that is not paid as two, of ``first`` clips and of the others."""
        clips = part.clips[:first], part.clips[first:]
        sizes = [(len(some), sha256_of(some)) for some in clips]
        batches = self._journal.split(part.batch, sizes)
        return [_Part(*both, resent=False) for both in zip(clips, batches, strict=True)]

    def _refuse(self, account: int, refusal: OracleError) -> None:
        """Take note that ``account`` buys no more."""
        self._dealer.refuse(account)
        if account not in self.refusals and self.buys:
            self._note(
                f"Account {account + 1} of {len(self._suffixes)} buys no more, and the others go "
                f"on: {words_of(refusal)}"
            )
        self.refusals[account] = refusal

    def _pass_on(self, part: _Part) -> list[_Part]:
        """Return ``part``, which is not paid, under other accounts' keys; raise without any."""
        dealt = self._dealer.pass_on(part.batch.clips)
        if dealt is None:
            raise self.why_nobody_buys()
        account, clips = dealt
        part, *rest = self._cut(part, clips) if clips < part.batch.clips else [part]
        moved = self._journal.pass_on(part.batch, self._suffixes[account])
        return [_Part(part.clips, moved, resent=False), *rest]

    def _leave_behind(self, batch: Batch) -> None:
        """Go on without the answer to ``batch``, which `resume` asks for again."""
        if not self.buys:
            raise self.why_nobody_buys()
        self.left_behind.add(batch.number)

    def why_nobody_buys(self) -> OracleError:
        """Return the refusal that ends the campaign: one that time mends, where there is one."""
        return max(self.refusals.values(), key=lambda refusal: isinstance(refusal, RateLimited))


def sha256_of(clips: np.ndarray) -> str:
    """Return the hash of a batch's samples, in hexadecimal."""
    return hashlib.sha256(clips.tobytes()).hexdigest()


def words_of(refusal: OracleError) -> str:
    """Return what the victim said of a request that it refused."""
    return getattr(refusal, "detail", "") or str(refusal)
