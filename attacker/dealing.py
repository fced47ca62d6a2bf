"""How the accounts of a Sybil share a budget: each buys its own part of it, to the clip.

So a key whose budget is its account's share buys all of it, however large batches are and wherever
iterations end, and all keys together buy the budget and nothing more.
"""

from collections.abc import Iterable
from typing import Literal

Spread = Literal["in_turn", "contiguous"]


def shares(budget: int, accounts: int) -> tuple[int, ...]:
    """Return the clips that each of ``accounts`` accounts buys of ``budget``.

    They are equal but for the clips that the division leaves, one for each of the first accounts.
    """
    even, left = divmod(budget, accounts)
    return tuple(even + (number < left) for number in range(accounts))


class Dealer:
    """Says which account buys the next batch, and how much of it."""

    def __init__(
        self, budget: int, accounts: int, spread: Spread, bought: Iterable[tuple[int, int]] = ()
    ) -> None:
        """``bought`` are the batches that were dealt before: (number of the account, clips)."""
        self.spread = spread
        self._left = list(shares(budget, accounts))
        for account, clips in bought:
            self._left[account] -= clips

    def deal(self, most: int) -> tuple[int, int]:
        """Return the number of the account that buys next, and how many of ``most`` clips it buys.

        Clips are left of some share as long as fewer than the budget were dealt.
        """
        if self.spread == "in_turn":  # among equal batches, that is one after the other
            account = self._left.index(max(self._left))
        else:
            account = next(number for number, left in enumerate(self._left) if left > 0)
        clips = min(most, self._left[account])
        self._left[account] -= clips
        return account, clips
