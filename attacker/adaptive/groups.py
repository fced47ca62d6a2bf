"""Sums over the copies of a window."""

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
