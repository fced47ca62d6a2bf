"""Rows of probabilities in float64: how defences take them, move them, and give them back."""

import numpy as np
import numpy.typing as npt

from victim_service.defences.base import Probabilities

Rows = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def exact(probabilities: Probabilities) -> Rows:
    """Return float64 rows (B, K) that sum to 1 as nearly as float64 can."""
    rows = probabilities.astype(np.float64)
    rows /= rows.sum(axis=1, keepdims=True)
    return rows


def softmax(logits: Rows) -> Rows:
    """Return the rows (B, K) that are proportional to exp(``logits``)."""
    powers: Rows = np.exp(logits - logits.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def project(rows: Rows) -> Rows:
    """Return the points of the simplex that are nearest to ``rows`` (B, K) in L2.

    Reference: Duchi et al., "Efficient Projections onto the l1-Ball for Learning in High
    Dimensions", ICML 2008, figure 1.
    """
    descending = -np.sort(-rows, axis=1)
    surplus = (np.cumsum(descending, axis=1) - 1) / np.arange(1, rows.shape[1] + 1)
    nearest: Rows = np.maximum(rows - surplus.max(axis=1, keepdims=True), 0)
    return nearest


def l1_distances(rows: Rows, others: Rows) -> Rows:
    """Return the L1 distance of each row (B, K) to its counterpart, as a column (B, 1)."""
    distances: Rows = np.abs(rows - others).sum(axis=1, keepdims=True)
    return distances


def pull_near(rows: Rows, centre: Rows, epsilon: float) -> Rows:
    """Return ``rows`` (B, K), those too far moved straight towards ``centre`` (B, K).

    None is further from its centre than an L1 distance of ``epsilon``; rows on the simplex stay
    there.
    """
    far = l1_distances(rows, centre)
    share = epsilon / np.maximum(far, epsilon)
    return centre + share * (rows - centre)


def apportion(rows: Rows, parts: int) -> tuple[Rows, Rows]:
    """Deal out ``parts`` whole parts of each row (B, K) in proportion to its entries.

    Returns:
        The whole parts (B, K) and what each entry had claimed of them.

    Reference: the largest remainder (Hamilton's) method of apportionment.
    """
    claims: Rows = rows * (parts / rows.sum(axis=1, keepdims=True))
    whole: Rows = np.floor(claims)
    missing = parts - whole.sum(axis=1, keepdims=True)
    order = np.argsort(whole - claims, axis=1, kind="stable")
    given = (np.arange(rows.shape[1]) < missing).astype(np.float64)
    np.put_along_axis(whole, order, np.take_along_axis(whole, order, axis=1) + given, axis=1)
    return whole, claims


def let_lead(rows: Rows, top: Labels) -> Rows:
    """Give the label ``top`` (B,) of each row the largest entry, and its holder what top had.

    ``rows`` are written over. Where ``top`` leads another row, the swap never takes the two rows
    further apart: of two pairings of two numbers with two, the sorted one has the smaller L1.
    """
    index = np.arange(len(rows))
    holder = rows.argmax(axis=1)
    largest = rows[index, holder].copy()
    rows[index, holder] = rows[index, top]
    rows[index, top] = largest
    return rows


def one_hot(labels: Labels, classes: int) -> Probabilities:
    """Return float32 rows (B, ``classes``) that hold 1 at ``labels`` (B,), and 0 elsewhere."""
    shown = np.zeros((len(labels), classes), dtype=np.float32)
    shown[np.arange(len(labels)), labels] = 1
    return shown


def released(rows: Rows, top: Labels | None = None) -> Probabilities:
    """Return float32 rows (B, K) that sum to 1.

    Where ``top`` (B,) is given, those labels lead, by one unit in the last place where they would
    tie; ``rows`` must have them lead or tie already.
    """
    shown: Probabilities = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
    if top is not None:
        equal = np.flatnonzero(shown.argmax(axis=1) != top)
        shown[equal, top[equal]] = np.nextafter(shown[equal].max(axis=1), np.float32(2))
    return shown
