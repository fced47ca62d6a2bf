"""`mad`: rows that turn a student's gradient as far from the honest one as the budget lets them."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from victim_service.defences.base import Defence, DefenceContext, Probabilities
from victim_service.defences.bounded import BoundedSpec
from victim_service.defences.last_layer import inner, says
from victim_service.defences.simplex import Labels, Rows, exact, l1_distances, released

_ORDERS = (0.0, -0.5, -1.0, -3.0, 0.5, 1.0, 3.0)
"""Weights of the student's row, next to that of its difference to the answer, in the orders whose
prefixes are tried: our own choice. Of 3 to 8 labels, the best subset of all is among them for 95
of 100 rows and more, however sharp the rows are."""


class MadSpec(BoundedSpec):
    """Moves each row towards the corner that turns the gradient most, by up to ``epsilon`` in L1.

    Corners are single labels (``extreme``), or equal shares of labels among which is the model's
    own (``argmax``).
    """

    draws: ClassVar[bool] = True

    kind: Literal["mad"] = "mad"
    variant: Literal["argmax", "extreme"] = "argmax"
    spread: float = Field(default=1.0, ge=0.01, le=10)
    """Standard deviation of the logits of the student that the gradient is taken at; 1 is that of a
    fresh layer on features of unit size: our own choice."""

    @property
    def argmax_kept(self) -> bool:
        """In the variant ``argmax``."""
        return self.variant == "argmax"

    def build(self) -> "Mad":
        """Return the defence."""
        return Mad(self)


class Mad(Defence):
    """Defence that draws a student for each clip of an account.

    Reference: Orekondy, Schiele and Fritz, "Prediction Poisoning: Towards Defenses Against DNN
    Model Stealing Attacks", ICLR 2020 (equations 4 to 7, at the last layer of a random student).
    """

    def __init__(self, spec: MadSpec) -> None:
        self.spec = spec

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return the turned rows."""
        rows, top = exact(probabilities), probabilities.argmax(axis=1)
        student = says(context, rows.shape[1], self.spec.spread)
        if self.spec.variant == "extreme":
            return released(towards(rows, best_label(rows, student), self.spec.epsilon))
        corners = best_share(rows, student, top)
        return released(towards(rows, corners, self.spec.epsilon), top)


def towards(rows: Rows, corners: Rows, epsilon: float) -> Rows:
    """Return ``rows`` (B, K), moved straight to ``corners`` (B, K), or as far as ``epsilon``.

    The gradient's angle grows all the way, so that the farthest point is the best one of the line.
    """
    share = epsilon / np.maximum(l1_distances(rows, corners), epsilon)
    return (1 - share) * rows + share * corners


def best_label(rows: Rows, student: Rows) -> Rows:
    """Return the one-hot rows (B, K) that turn the gradient of ``student`` (B, K) most."""
    honest = student - rows
    ahead = inner(student, honest) - honest
    squares = inner(student, student) - 2 * student + 1
    # A student who is sure is so near the corner of its label that these cancel to nothing, or
    # less: there they are summed up over the other labels.
    index, sure = np.arange(len(rows)), student.argmax(axis=1)
    others = student.copy()
    others[index, sure] = 0
    share = others.sum(axis=1)
    ahead[index, sure] = (others * honest).sum(axis=1) - share * honest[index, sure]
    squares[index, sure] = (others**2).sum(axis=1) + share**2
    cosines = ahead / np.sqrt(np.maximum(squares, np.finfo(np.float64).tiny))
    corners = np.zeros_like(rows)
    corners[index, cosines.argmin(axis=1)] = 1
    return corners


def best_share(rows: Rows, student: Rows, top: Labels) -> Rows:
    """Return rows (B, K) of equal shares, ``top`` (B,) among them, that turn the gradient most.

    Of the subsets of labels, those are tried that open with the top label and go on in one of a few
    orders.
    """
    honest = student - rows
    index = np.arange(len(rows))
    sizes = np.arange(1, rows.shape[1] + 1)
    base, length = inner(student, honest), inner(student, student)
    least = np.full((len(rows), 1), np.inf)
    corners = np.empty_like(rows)
    for weight in _ORDERS:
        score = honest + weight * student
        score[index, top] = np.inf
        order = np.argsort(-score, axis=1, kind="stable")
        # With S the subset and m its size: <s - v, d> = <s, d> - sum_S d / m, and so for |s - v|.
        ahead = base - np.cumsum(np.take_along_axis(honest, order, axis=1), axis=1) / sizes
        shared = np.cumsum(np.take_along_axis(student, order, axis=1), axis=1)
        squares = length + (1 - 2 * shared) / sizes
        cosines = ahead / np.sqrt(np.maximum(squares, np.finfo(np.float64).tiny))
        best = cosines.argmin(axis=1, keepdims=True)
        found = np.take_along_axis(cosines, best, axis=1)
        tried = np.empty_like(rows)
        np.put_along_axis(tried, order, (sizes <= best + 1) / (best + 1), axis=1)
        corners = np.where(found < least, tried, corners)
        least = np.minimum(found, least)
    return corners
