"""`gradient_redirection`: rows within an L1 budget that pull a student's gradient one way.

How far an answer pulls the gradient in a direction is linear in the answer, so that the best row
solves a linear programme, which is filled greedily.
"""

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from victim_service.defences.base import Defence, DefenceContext, Probabilities
from victim_service.defences.bounded import BoundedSpec
from victim_service.defences.filling import least_costly
from victim_service.defences.last_layer import says
from victim_service.defences.simplex import Labels, Rows, exact, released

_FEATURES = 16
"""Of a random last layer, for the direction ``fixed``: our own choice."""


class GradientRedirectionSpec(BoundedSpec):
    """Moves each row by an L1 distance of up to ``epsilon``.

    ``reverse`` pulls the gradient against that of the honest answer; ``fixed`` pulls it in a
    direction of the weights that is the account's own, the same for all clips.
    """

    draws: ClassVar[bool] = True

    kind: Literal["gradient_redirection"] = "gradient_redirection"
    direction: Literal["reverse", "fixed"] = "reverse"
    preserve_argmax: bool = True
    """Whether the most probable label stays at least as high as all others."""

    @property
    def argmax_kept(self) -> bool:
        """As the spec says."""
        return self.preserve_argmax

    def build(self) -> "GradientRedirection":
        """Return the defence."""
        return GradientRedirection(self)


class GradientRedirection(Defence):
    """Defence that draws a student for each clip, and a direction for each account.

    Reference: Mazeika, Li and Forsyth, "How to Steer Your Adversary: Targeted and Efficient Model
    Stealing Defenses with Gradient Redirection", ICML 2022 (the greedy solution; at the last layer
    of a random student, where the published one is trained).
    """

    def __init__(self, spec: GradientRedirectionSpec) -> None:
        self.spec = spec

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return the redirecting rows."""
        rows, top = exact(probabilities), probabilities.argmax(axis=1)
        if self.spec.direction == "reverse":
            costs = reverse_costs(rows, context)
        else:
            costs = fixed_costs(rows.shape[1], context)
        if not self.spec.preserve_argmax:
            return released(cheapest(rows, costs, self.spec.epsilon))
        return released(cheapest_led(rows, costs, top, self.spec.epsilon), top)


def reverse_costs(rows: Rows, context: DefenceContext) -> Rows:
    """Return what each label (B, K) adds to <G(q), G(p)>, for the honest answers p, ``rows``.

    With G(y) the outer product of s - y and the features, it is <s - q, s - p> but for a factor:
    an entry of q adds p - s.
    """
    return rows - says(context, rows.shape[1], 1.0)


def fixed_costs(classes: int, context: DefenceContext) -> Rows:
    """Return what each label (B, ``classes``) adds to -<G(q), Z>, for the account's direction Z.

    But for a constant, <G(q), Z> is -<q, Z h>: an entry of q adds that of Z h. Both are drawn: Z
    (``classes``, 16) from the key alone, and the features h of each clip, which are not negative,
    as after a rectifier, so that clips pull the same way. (A direction of ones would be no
    direction: the entries of a row always sum to 1.)
    """
    clips = range(len(context.clip_sha256))
    account = replace(context, clip_sha256=(b"direction",))
    direction = account.rng(0).normal(size=(_FEATURES, classes))
    features = np.stack([np.abs(context.rng(clip).normal(size=_FEATURES)) for clip in clips])
    costs = np.zeros((len(clips), classes))
    # Not by a product of matrices, whose last digits depend on how many clips there are.
    for feature, weights in zip(features.T, direction, strict=True):
        costs += feature[:, np.newaxis] * weights
    return costs


def cheapest(rows: Rows, costs: Rows, epsilon: float) -> Rows:
    """Return the rows q (B, K) that minimise sum_k q_k cost_k within ``epsilon`` of ``rows``.

    Mass goes to the cheapest label, from the dearest ones.
    """
    order = np.argsort(-costs, axis=1, kind="stable")
    sorted_rows = np.take_along_axis(rows, order, axis=1)
    givers = sorted_rows[:, :-1]
    before = np.cumsum(givers, axis=1) - givers
    given = np.clip(epsilon / 2 - before, 0, givers)
    sorted_rows[:, :-1] -= given
    sorted_rows[:, -1] += given.sum(axis=1)
    found = np.empty_like(rows)
    np.put_along_axis(found, order, sorted_rows, axis=1)
    return found


def cheapest_led(rows: Rows, costs: Rows, top: Labels, epsilon: float) -> Rows:
    """Return the cheapest rows (B, K) as well, of those in which no label is above ``top`` (B,)."""
    dearness = costs.copy()
    dearness[np.arange(len(rows)), top] = np.inf
    order = np.argsort(-dearness, axis=1, kind="stable")
    return least_costly(rows, costs, order, epsilon, margin=0.0)
