"""`modelguard_s`: rows from a fixed list, the shortest ones first, so that many clips share one.

The published variant answers the first earlier answer that is near enough, and so depends on who
asked before. Answers here are functions of the clip alone: the list is fixed by epsilon and K. On
rows of 10 to 1,251 labels it gives about as many different answers as the published one, or fewer;
docs/defences.md has the measurements.
"""

from collections.abc import Iterator
from itertools import count
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from victim_service.defences.base import Defence, DefenceContext, Form, Probabilities
from victim_service.defences.bounded import BoundedSpec
from victim_service.defences.simplex import Rows, apportion, l1_distances, released

_POWERS = (1, 2, 4, 8, 16)
"""Of 1 - epsilon / 2: the shares of a row that its labels get, before what all labels get."""


class ModelGuardSSpec(BoundedSpec):
    """Answers the first row of a list within an L1 distance of ``epsilon``.

    A row of the list deals out a share of the whole to a few labels, in equal parts of which a
    label gets one or more, and the rest evenly over all labels. First come those that tell one
    label: a row in which it has 1 - ``epsilon`` / 2 or more is answered alike whatever the others
    have. Then come those that tell 2, 3, 4, 8, 16 labels and so on, up to all.
    """

    gives: ClassVar[Form] = "coarse"

    kind: Literal["modelguard_s"] = "modelguard_s"
    epsilon: float = Field(ge=0.01, lt=2)

    @property
    def argmax_kept(self) -> bool:
        """Always: what the other labels lose goes to the top one."""
        return True

    def build(self) -> "ModelGuardS":
        """Return the defence."""
        return ModelGuardS(self.epsilon)


class ModelGuardS(Defence):
    """Defence that draws nothing and keeps no state.

    References: Tang et al., "ModelGuard: Information-Theoretic Defense Against Model Extraction
    Attacks", USENIX Security 2024 (the variant S); Reznik, "An Algorithm for Quantization of
    Discrete Probability Distributions", DCC 2011 (rows of equal parts; their order and the share
    that goes to all labels are our own choice).
    """

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return rows of the list."""
        del context
        top = probabilities.argmax(axis=1)
        return released(quantise(probabilities.astype(np.float64), self.epsilon), top)


def quantise(rows: Rows, epsilon: float) -> Rows:
    """Return for each of ``rows`` (B, K) the first row of the list within ``epsilon``.

    The label with the largest entry gets the largest one, or shares it with others.
    """
    classes = rows.shape[1]
    order = np.argsort(-rows, axis=1, kind="stable")
    descending = np.take_along_axis(rows, order, axis=1)
    # Summed in this order, so that how the labels are numbered changes no digit.
    descending /= descending.sum(axis=1, keepdims=True)
    answers = np.empty_like(descending)
    waiting = np.arange(len(rows))
    bounds: dict[tuple[int, float], Rows] = {}  # of a share dealt out in more parts, the same
    for told, parts, share in forms(classes, epsilon):
        if (told, share) not in bounds:
            bounds[told, share] = np.empty(len(rows))
            bounds[told, share][waiting] = _at_least(descending[waiting], told, share)
        hopeful = waiting[bounds[told, share][waiting] <= epsilon]
        if len(hopeful):
            mine = descending[hopeful]
            tried = _tell(mine, told, parts, share)
            near = l1_distances(tried, mine)[:, 0] <= epsilon
            answers[hopeful[near]] = tried[near]
            waiting = np.setdiff1d(waiting, hopeful[near], assume_unique=True)
        if not len(waiting):
            break
    unsorted = np.empty_like(rows)
    np.put_along_axis(unsorted, order, answers, axis=1)
    return unsorted


def forms(classes: int, epsilon: float) -> Iterator[tuple[int, int, float]]:
    """Yield the forms of the list in order: labels told, parts, and the share that is dealt out.

    The last ones tell all labels in ever smaller parts, and do not end: a row of n parts can be
    brought within K / (2 n) of any row, so that 64 K parts are enough for each epsilon of a spec.
    """
    told = 1
    while told < classes:
        # One part more than labels: to tell the top one from the others is worth most.
        for parts in (told + 1, 4 * told + 1):
            for power in _POWERS:
                yield told, parts, (1 - epsilon / 2) ** power
        told += 1 if told < 4 else told
    for doublings in count():
        yield classes, classes << doublings, 1.0


def _at_least(descending: Rows, told: int, share: float) -> Rows:
    """Return (B,) how far ``descending`` (B, K) is at least from all rows of one form.

    Worth a look first: rows that a few labels cannot tell are not worth dealing out.
    """
    surplus = descending[:, told:] - (1 - share) / descending.shape[1]
    # What the labels that are not told have too much, those that are told have too little.
    bound: Rows = np.abs(surplus).sum(axis=1) + np.abs(surplus.sum(axis=1))
    return bound


def _tell(descending: Rows, told: int, parts: int, share: float) -> Rows:
    """Return the rows (B, K) of one form that are (nearly) nearest to ``descending`` (B, K)."""
    even = (1 - share) / descending.shape[1]
    claims = np.maximum(descending[:, :told] - even, 0)
    claims[:, 0] = np.maximum(claims[:, 0], 1e-300)  # an even row tells its top, and not nothing
    whole, _ = apportion(claims, parts)
    tried = np.full_like(descending, even)
    tried[:, :told] += share * (whole / parts)
    return tried
