"""What a student would learn from an answer: the gradient at a last layer that is random.

A student with features h and last layer W says s = softmax(W h). Of an answer y, its loss
-sum_k y_k log s_k has the gradient (s - y) h^T in W, since y sums to 1: the outer product of a
row over labels and the features. So |gradient| = |s - y| |h|, and the angle between the gradients
of two answers is that between s - y and s - y'; no backward pass is needed, and features matter
only through s. With weights that are drawn from a normal law, W h is normal as well, with one
standard deviation for all labels, whatever h is: s is drawn as such.
"""

import numpy as np

from victim_service.defences.base import DefenceContext
from victim_service.defences.simplex import Rows, softmax


def says(context: DefenceContext, classes: int, spread: float) -> Rows:
    """Return what a random student says (B, ``classes``) to the clips of ``context``.

    ``spread`` is the standard deviation of its logits; each clip has its own draw.
    """
    clips = range(len(context.clip_sha256))
    return softmax(np.stack([context.rng(clip).normal(0, spread, classes) for clip in clips]))


def inner(rows: Rows, others: Rows) -> Rows:
    """Return the inner product of each row (B, K) with its counterpart, as a column (B, 1)."""
    products: Rows = (rows * others).sum(axis=1, keepdims=True)
    return products


def turn(student: Rows, rows: Rows, others: Rows) -> Rows:
    """Return by how much (B, 1) the gradient turns where ``others`` (B, K) replace ``rows``.

    The squared distance of the two directions: 0 for the same, 2 for a right angle, 4 for opposite
    ones. A ``student`` (B, K) who already says an answer has no direction there: 0.
    """
    old, new = student - rows, student - others
    scale = np.sqrt(inner(old, old) * inner(new, new))
    cosine = np.divide(inner(old, new), scale, out=np.ones_like(scale), where=scale > 0)
    return 2 - 2 * np.clip(cosine, -1, 1)
