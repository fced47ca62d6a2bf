"""Means over what an attacker cannot tell apart: copies of a window, labels of equal answers."""

import numpy as np


def shared_mean(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return for each row of ``values`` (N, K) the mean row of its group, (N, K) float64.

    ``groups`` (N,) may come in any order; a group may have one row only.
    """
    order = np.argsort(groups, kind="stable")
    _, firsts, inverse, counts = np.unique(
        groups[order], return_index=True, return_inverse=True, return_counts=True
    )
    if not len(firsts):
        return values.astype(np.float64)
    sums = np.add.reduceat(values[order].astype(np.float64), firsts, axis=0)
    means = np.empty(values.shape, dtype=np.float64)
    means[order] = (sums / counts[:, np.newaxis])[inverse]
    return means


def mean_of_ties(rows: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Return ``rows`` (N, K) with labels of equal answers made equal, by their mean.

    ``ordered`` are the descending answers. Nothing tells such labels apart, and a table row that
    does only says how its own draws fell.
    """
    n, k = rows.shape
    runs = np.zeros((n, k), dtype=np.int64)
    np.cumsum(ordered[:, 1:] != ordered[:, :-1], axis=1, out=runs[:, 1:])
    runs += np.arange(n)[:, np.newaxis] * k
    sums = np.bincount(runs.ravel(), rows.ravel(), minlength=n * k)
    counts = np.bincount(runs.ravel(), minlength=n * k)
    means: np.ndarray = (sums / np.maximum(counts, 1))[runs]
    return means
