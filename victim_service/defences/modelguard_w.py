"""`modelguard_w`: the rows within an L1 budget that tell a thief least about the model's own.

The best row is the solution of a linear programme. It is filled greedily here: given how high the
top label stands, mass goes from the likeliest of the other labels to the least likely ones; how
high it should stand is one convex question.
"""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from victim_service.defences.base import Defence, DefenceContext, DefenceSpec, Probabilities
from victim_service.defences.simplex import Rows, exact, released

_LOG_FLOOR = 1e-6
_GOLDEN = (5**0.5 - 1) / 2
_SECTIONS = 48
"""Enough to place the top label to 1e-10."""
_BLOCK_ROWS = 16
"""With all that is kept of them, 16 rows of 1,251 labels stay in a processor's cache."""


class ModelGuardWSpec(DefenceSpec):
    """Moves each row by an L1 distance of up to ``epsilon``; the top label leads by ``margin``."""

    kind: Literal["modelguard_w"] = "modelguard_w"
    epsilon: float = Field(gt=0, le=2)
    margin: float = Field(default=1e-4, ge=1e-6, lt=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.margin > self.epsilon / 2:
            raise ValueError(
                "equal labels cannot be parted by margin within epsilon. "
                "Keep margin at most epsilon / 2"
            )
        return self

    @property
    def argmax_kept(self) -> bool:
        """Always."""
        return True

    @property
    def l1_bound(self) -> float:
        """``epsilon``."""
        return self.epsilon

    def build(self) -> "ModelGuardW":
        """Return the defence."""
        return ModelGuardW(self.epsilon, self.margin)


class ModelGuardW(Defence):
    """Defence that draws nothing.

    Reference: Tang et al., "ModelGuard: Information-Theoretic Defense Against Model Extraction
    Attacks", USENIX Security 2024 (the variant W).
    """

    def __init__(self, epsilon: float, margin: float) -> None:
        self.epsilon = epsilon
        self.margin = margin

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return the least telling rows."""
        del context
        rows = exact(probabilities)
        blocks = [
            least_telling(rows[first : first + _BLOCK_ROWS], self.epsilon, self.margin)
            for first in range(0, len(rows), _BLOCK_ROWS)
        ]
        return released(np.concatenate(blocks))


def least_telling(rows: Rows, epsilon: float, margin: float) -> Rows:
    """Return the rows q (B, K) that minimise sum_k q_k log(p_k + 1e-6) for each p of ``rows``.

    q is on the simplex, within an L1 distance of ``epsilon`` of p, and its entry at the first
    largest one of p is above all others by ``margin``. The least over the level of that entry is
    searched by golden sections: how little can be told is a convex function of it.
    """
    order = np.argsort(-rows, axis=1, kind="stable")
    descending = np.take_along_axis(rows, order, axis=1)
    filling = _Filling(descending, np.log(descending + _LOG_FLOOR), epsilon / 2, margin)
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
    """Rows (B, K) in descending order, what a unit of each entry tells (B, K), the mass that may be
    moved, and the lead of the first entry."""

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
        """Return (B, 1) what the best rows with the first entry at ``level`` (B, 1) still tell."""
        told: Rows = (self.fill(level) * self.costs).sum(axis=1, keepdims=True)
        return told

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
