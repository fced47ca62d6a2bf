"""What parts of the victim cost the thief: the queries and the money until a copy has them."""

import itertools
from dataclasses import dataclass
from typing import Literal

from attacker.lab.study.page.theft import Offer

SHARES = (0.50, 0.80, 0.95)
"""Shares of the victim's accuracy whose price is asked for."""


@dataclass(frozen=True)
class Reach:
    """After how many queries, and for how much, a share of the victim was reached."""

    kind: Literal["at", "by", "beyond"]
    """``at``: between two budgets; ``by``: at the smallest budget already; ``beyond``: above the
    largest one."""
    queries: float
    money: float


def reach(offer: Offer, accuracy: float) -> Reach:
    """Return where the best attacker of each budget first has ``accuracy``, a share, on average.

    Between two budgets that bracket it the place is found on the straight line; nothing is said
    beyond the largest budget, nor below the smallest.
    """
    best = offer.leaders
    if best[0].accuracy.mean >= accuracy:
        return Reach("by", best[0].bought, best[0].money)
    for before, after in itertools.pairwise(best):
        if after.accuracy.mean >= accuracy:
            part = (accuracy - before.accuracy.mean) / (after.accuracy.mean - before.accuracy.mean)
            return Reach(
                "at",
                before.bought + part * (after.bought - before.bought),
                before.money + part * (after.money - before.money),
            )
    return Reach("beyond", best[-1].bought, best[-1].money)
