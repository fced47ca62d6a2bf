"""Exact intervals of counted shares: false alarms among windows, catches among thieves."""

from collections.abc import Callable

import numpy as np

from shared.config import Frozen

CONFIDENCE = 0.95
_HALVINGS = 60


class Proportion(Frozen):
    """A share that was counted, with its exact 95 % interval."""

    hits: int
    trials: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Hits among trials, 0 to 1."""
        return self.hits / self.trials


def proportion(hits: int, trials: int) -> Proportion | None:
    """Return the share of ``hits`` among ``trials`` with Clopper and Pearson's interval.

    The interval holds the true share with at least 95 %, however few the trials; without a hit its
    upper end is about 3.7 / trials. Trials count as independent of one another.

    Returns:
        None where there was no trial.

    Raises:
        ValueError: there are more hits than trials, or fewer than none.

    Reference: Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the
    case of the binomial", 1934.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} hits in {trials} trials cannot be. Count them again.")
    if trials == 0:
        return None
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if hits == 0 else _solve(lambda p: 1 - _at_most(hits - 1, trials, p), tail)
    high = 1.0 if hits == trials else _solve(lambda p: 1 - _at_most(hits, trials, p), 1 - tail)
    return Proportion(hits=hits, trials=trials, low=low, high=high)


def _solve(rising: Callable[[float], float], wanted: float) -> float:
    """Return where ``rising``, from 0 to 1 over [0, 1], is ``wanted``."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return (low + high) / 2


def _at_most(hits: int, trials: int, p: float) -> float:
    """Return P(X <= hits) of a binomial X, summed over the shorter tail."""
    if p <= 0:
        return 1.0
    if p >= 1:
        return 1.0 if hits >= trials else 0.0
    if hits > trials // 2:
        return 1 - _at_most(trials - hits - 1, trials, 1 - p) if hits < trials else 1.0
    k = np.arange(hits + 1)
    steps = np.log(trials - k[:-1]) - np.log(k[:-1] + 1)
    ways = np.concatenate([[0.0], np.cumsum(steps)])
    return float(np.exp(ways + k * np.log(p) + (trials - k) * np.log1p(-p)).sum())
