"""How many different answers rows of one law get: from `modelguard_s`, and from the published one.

The published list depends on the order of the queries, which the service may not; it is kept here
to compare with.
"""

import numpy as np
import numpy.typing as npt

from victim_service.defences.simplex import released


def softmax_rows(classes: int, spread: float, count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return rows (``count``, ``classes``): softmax of normal logits of standard deviation
    ``spread``, peaked at 6, flat at 1."""
    logits = np.random.default_rng(seed).normal(0, spread, (count, classes))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return released(powers)


def published_answers(rows: npt.NDArray[np.float32], epsilon: float) -> int:
    """Return the length of the published list after ``rows`` (B, K), in this order.

    Each row is answered by the first earlier answer of its label within an L1 distance of
    ``epsilon``, and joins the list as it is where there is none.

    Reference: Tang et al., "ModelGuard", USENIX Security 2024 (the variant S).
    """
    lists: dict[int, list[npt.NDArray[np.float64]]] = {}
    for row in rows.astype(np.float64):
        known = lists.setdefault(int(row.argmax()), [])
        if not known or np.abs(np.array(known) - row).sum(axis=1).min() > epsilon:
            known.append(row)
    return sum(len(known) for known in lists.values())


def different(rows: npt.NDArray[np.float32]) -> int:
    """Return how many of ``rows`` (B, K) differ, to the bit."""
    return len({row.tobytes() for row in rows})
