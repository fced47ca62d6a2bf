"""Rows of probabilities, as models give them and as they should not."""

import numpy as np
from hypothesis import strategies as st

KINDS = ("one-hot", "uniform", "sharp", "flat", "ties", "tiny")


@st.composite
def probability_rows(draw: st.DrawFn, most_classes: int = 1251) -> np.ndarray:
    """Return (B, K) float32 rows on the simplex, B from 1 to 4 and K from 2 on, of mixed kinds."""
    classes = draw(st.one_of(st.integers(2, 12), st.integers(2, most_classes)))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return np.stack([make_row(kind, classes, rng) for kind in kinds]).astype(np.float32)


def make_row(kind: str, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Return one row (K,) of float64 that sums to 1."""
    if kind == "one-hot":
        return np.eye(classes)[rng.integers(classes)]
    if kind == "uniform":
        return np.full(classes, 1 / classes)
    if kind == "ties":
        weights = rng.integers(0, 3, classes).astype(np.float64)
        weights[rng.integers(classes)] = 2
    elif kind == "tiny":  # one label and next to nothing, down to subnormal numbers
        weights = np.exp(-rng.uniform(0, 120, classes))
    else:
        weights = rng.dirichlet(np.full(classes, 0.05 if kind == "sharp" else 50.0)) + 1e-12
    row: np.ndarray = weights / weights.sum()
    return row
