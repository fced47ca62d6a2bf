"""In which order, how often, and in what batches an epoch shows what is trained on."""

import numpy as np


def balanced_order(labels: np.ndarray, balance: float, rng: np.random.Generator) -> np.ndarray:
    """Return N positions, shuffled, of clips with ``labels`` (N,), rare labels more often.

    A clip whose label has n clips is expected N n^-beta / sum n^-beta times, beta = ``balance`` in
    [0, 1], and comes that often, rounded down or up (systematic resampling): 1 shows every label
    that occurs equally often, 0 every clip once.
    """
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = counts[inverse].astype(np.float64) ** -balance
    # Label after label, so that the rounding cancels within each; within a label at random, so that
    # no clip is favoured by its place in the transfer set.
    shuffled = rng.permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    expected = np.cumsum(weights[order]) * (len(labels) / weights.sum())
    expected[-1] = len(labels)  # the sum's rounding must not lose a clip
    ticks = np.floor(expected + rng.random()).astype(np.int64)
    times = np.diff(ticks, prepend=0)
    positions: np.ndarray = rng.permutation(np.repeat(order, times))
    return positions


def batches_of(order: np.ndarray, size: int) -> list[np.ndarray]:
    """Return ``order`` (N,) in parts of ``size``; a last one of a single item joins its neighbour.

    Batch norm cannot train on one item alone: it has no spread to normalise by.
    """
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts
