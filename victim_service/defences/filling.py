"""Rows within an L1 budget that cost least while one label leads: a linear programme, filled.

Given how high the leading label stands, mass goes from the dearest of the other labels to the
cheapest ones; how high it should stand is one convex question.
"""

from dataclasses import dataclass

import numpy as np

from victim_service.defences.simplex import Labels, Rows

_BLOCK_ROWS = 16
"""With all that is kept of them, 16 rows of 1,251 labels stay in a processor's cache."""
_GOLDEN = (5**0.5 - 1) / 2
_SECTIONS = 48
"""Enough to place the leading label to 1e-10."""


def least_costly(rows: Rows, costs: Rows, order: Labels, epsilon: float, margin: float) -> Rows:
    """Return the rows q (B, K) that minimise sum_k q_k cost_k for each row p of ``rows``.

    q is on the simplex, within an L1 distance of ``epsilon`` of p, and its entry at the first label
    of ``order`` (B, K), which has to be the largest of p, is above all others by ``margin``, which
    is at most epsilon / 2. The other labels of ``order`` are in descending order of ``costs``
    (B, K). The least over the level of the first entry is searched by golden sections: the cost is
    a convex function of it.
    """
    blocks = [slice(first, first + _BLOCK_ROWS) for first in range(0, len(rows), _BLOCK_ROWS)]
    parts = [_solve(rows[b], costs[b], order[b], epsilon, margin) for b in blocks]
    return np.concatenate(parts)


def _solve(rows: Rows, costs: Rows, order: Labels, epsilon: float, margin: float) -> Rows:
    ordered = np.take_along_axis(rows, order, axis=1)
    filling = _Filling(ordered, np.take_along_axis(costs, order, axis=1), epsilon / 2, margin)
    low, high = filling.levels()
    lower, upper = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_lower, at_upper = filling.cost(lower), filling.cost(upper)
    for _ in range(_SECTIONS):
        down = at_lower <= at_upper
        low, high = np.where(down, low, lower), np.where(down, upper, high)
        kept, at_kept = np.where(down, lower, upper), np.where(down, at_lower, at_upper)
        reach = _GOLDEN * (high - low)
        fresh = np.where(down, high - reach, low + reach)
        at_fresh = filling.cost(fresh)
        lower, upper = np.where(down, fresh, kept), np.where(down, kept, fresh)
        at_lower, at_upper = np.where(down, at_fresh, at_kept), np.where(down, at_kept, at_fresh)
    best = np.empty_like(rows)
    np.put_along_axis(best, order, filling.fill((low + high) / 2), axis=1)
    return best


@dataclass(frozen=True)
class _Filling:
    """Rows (B, K) with the leading label first and the others from the dearest on, what a unit of
    each entry costs (B, K), the mass that may be moved, and the lead of the first entry."""

    rows: Rows
    costs: Rows
    movable: float
    margin: float

    def levels(self) -> tuple[Rows, Rows]:
        """Return the lowest and the highest level (B, 1) that the first entry can be brought to."""
        classes = self.rows.shape[1]
        heights = self.rows + self.margin
        heights[:, 0] -= self.margin
        heights = -np.sort(-heights, axis=1)
        # The level above which there is just as much as may be moved.
        over = (np.cumsum(heights, axis=1) - self.movable) / np.arange(1, classes + 1)
        roomy = (1 + (classes - 1) * self.margin) / classes
        low = np.maximum(over.max(axis=1, keepdims=True), roomy)
        high = np.minimum(self.rows[:, :1] + self.movable, 1)
        return low, np.maximum(low, high)

    def cost(self, level: Rows) -> Rows:
        """Return (B, 1) what the best rows with the first entry at ``level`` (B, 1) cost."""
        total: Rows = (self.fill(level) * self.costs).sum(axis=1, keepdims=True)
        return total

    def fill(self, level: Rows) -> Rows:
        """Return the best rows (B, K) with the first entry at ``level`` (B, 1)."""
        first, others = self.rows[:, :1], self.rows[:, 1:]
        ceiling = level - self.margin
        kept = np.minimum(others, ceiling)
        room = np.maximum(ceiling - others, 0)
        forced_down = (others - kept).sum(axis=1, keepdims=True) + np.maximum(first - level, 0)
        forced_up = np.maximum(level - first, 0)
        given = np.cumsum(kept, axis=1)
        taken = np.cumsum(room[:, ::-1], axis=1)[:, ::-1]
        # However the others are split into givers before takers, no more moves than both can.
        none = np.zeros_like(level)
        givers = np.concatenate([none, given], axis=1)
        takers = np.concatenate([taken, none], axis=1)
        most = np.minimum(forced_down + givers, forced_up + takers).max(axis=1, keepdims=True)
        moved = np.maximum(np.minimum(most, self.movable), np.maximum(forced_down, forced_up))
        fall = np.clip(moved - forced_down - (given - kept), 0, kept)
        rise = np.clip(moved - forced_up - (taken - room), 0, room)
        return np.concatenate([level, kept - fall + rise], axis=1)
