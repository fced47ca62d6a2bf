"""How the accounts of a Sybil share a budget: each buys its own part of it, to the clip.

So a key whose budget is its account's share buys all of it, however large batches are and wherever
iterations end, and all keys together buy the budget and nothing more. What an account that is
refused has not bought of its share stays its own: nobody else's key has a budget for it.
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
        self._refused: set[int] = set()
        self._left = list(shares(budget, accounts))
        for account, clips in bought:
            self._left[account] -= clips

    def deal(self, most: int) -> tuple[int, int]:
        """Return the number of the account that buys next, and how many of ``most`` clips it buys.

        There must be some :attr:`left`; there is until the budget was dealt, if nobody is refused.
        """
        account = self._turn(at_least=1)
        if account is None:
            raise ValueError("nothing is left that could be dealt")
        clips = min(most, self._left[account])
        self._left[account] -= clips
        return account, clips

    @property
    def left(self) -> bool:
        """Whether an account that is not refused has clips left of its share."""
        return self._turn(at_least=1) is not None

    def refuse(self, account: int) -> None:
        """Deal nothing more to ``account``."""
        self._refused.add(account)

    def pass_on(self, clips: int) -> tuple[int, int] | None:
        """Deal what one that is refused did not buy: (number of the account, clips of ``clips``).

        It is all of them where somebody has so many left, and else a part. None: nobody has any.
        """
        account = self._turn(at_least=clips)
        if account is None:
            account = self._turn(at_least=1)
        if account is None:
            return None
        dealt = min(clips, self._left[account])
        self._left[account] -= dealt
        return account, dealt

    def _turn(self, at_least: int) -> int | None:
        """Return the account whose turn it is among those with ``at_least`` clips left."""
        able = [
            number
            for number, left in enumerate(self._left)
            if left >= at_least and number not in self._refused
        ]
        if self.spread == "in_turn":  # among equal batches, that is one after the other
            return max(able, key=self._left.__getitem__, default=None)
        return min(able, default=None)
