"""The generic cell rate algorithm, as pure arithmetic.

A subject's whole state is its theoretical arrival time: the moment at which its burst will be full
again. Reference: ITU-T I.371, virtual scheduling form.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a cost fits now, and the state it would leave."""

    allowed: bool
    arrival_s: float
    """New theoretical arrival time when allowed, the old one when not."""
    retry_after_s: float
    """0 when allowed; otherwise the cost fits after this time if nothing else is taken."""


def decide(arrival_s: float, now_s: float, cost: int, per_s: float, burst: int) -> Decision:
    """Decide on ``cost`` units at ``now_s`` for a rate of ``per_s`` with ``burst`` units at once.

    A cost above the burst never fits; callers refuse it beforehand.
    """
    start = max(arrival_s, now_s)
    after = start + cost / per_s
    wait = after - burst / per_s - now_s
    # Sums of floating-point seconds since 1970 are exact to about 0.2 microseconds.
    if wait <= 1e-6:
        return Decision(True, after, 0.0)
    return Decision(False, arrival_s, wait)


def units_left(arrival_s: float, now_s: float, per_s: float, burst: int) -> int:
    """Return how many units would be granted at once; never negative."""
    busy_s = max(0.0, arrival_s - now_s)
    return max(0, min(burst, int(burst - busy_s * per_s + 1e-6)))
