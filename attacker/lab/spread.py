"""Means over seeds with Student's intervals: the luck of a seed, measured with few of them."""

import math
from collections.abc import Sequence

from shared.config import Frozen

CONFIDENCE = 0.95
_FARTHEST = 1e6


class Spread(Frozen):
    """A mean over seeds with its 95 % interval."""

    mean: float
    low: float | None
    """None with a single seed: one run says nothing of how runs differ."""
    high: float | None
    n: int
    """Seeds."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends, or None with a single seed."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def spread(values: Sequence[float]) -> Spread | None:
    """Return the mean of ``values``, one a seed, with Student's interval; None of none.

    Reference: Student, "The probable error of a mean", 1908.
    """
    n = len(values)
    if n == 0:
        return None
    mean = math.fsum(values) / n
    if n == 1:
        return Spread(mean=mean, low=None, high=None, n=1)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    reach = t_quantile(n - 1) * math.sqrt(variance / n)
    return Spread(mean=mean, low=mean - reach, high=mean + reach, n=n)


def clipped(found: Spread) -> Spread:
    """Return the spread of a share with its interval cut to what a share can be, 0 to 1."""
    if found.low is None or found.high is None:
        return found
    return found.model_copy(update={"low": max(0.0, found.low), "high": min(1.0, found.high)})


def t_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """Return the t that Student's distribution stays within, both ways, with this probability.

    Raises:
        ValueError: there is no degree of freedom.
    """
    if freedom < 1:
        raise ValueError("an interval needs two seeds at least. Run another seed.")
    low, high = 0.0, _FARTHEST
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < confidence else (low, middle)
    return (low + high) / 2


def _within(t: float, freedom: int) -> float:
    """Return P(|T| <= t).

    Reference: Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4.
    """
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = 0.0 if freedom == 1 else term
    for step in range(2 + odd, freedom - 1, 2):
        term *= cosine**2 * (step - 1) / step
        total += term
    return (angle + sine * total) * 2 / math.pi if odd else sine * total
