"""What the best row within an L1 budget costs, by a solver of linear programmes."""

import numpy as np
from scipy.optimize import linprog


def solved(row: np.ndarray, costs: np.ndarray, epsilon: float, margin: float | None) -> float:
    """The least that linprog finds, over q and the moduli t of q - p.

    The most probable label of ``row`` (K,) leads q by ``margin``, or need not where that is None.
    """
    classes, top = len(row), int(row.argmax())
    eye, zero = np.eye(classes), np.zeros((1, classes))
    leads = margin is not None
    under = np.delete(eye - eye[top], top, axis=0) if leads else np.zeros((0, classes))
    found = linprog(
        np.concatenate([costs, np.zeros(classes)]),
        A_ub=np.block(
            [
                [eye, -eye],
                [-eye, -eye],
                [zero, np.ones((1, classes))],
                [under, np.zeros_like(under)],
            ]
        ),
        b_ub=np.concatenate([row, -row, [epsilon], np.full(len(under), -(margin or 0.0))]),
        A_eq=np.concatenate([np.ones((1, classes)), zero], axis=1),
        b_eq=[1],
        bounds=(0, None),
        method="highs",
    )
    assert found.status == 0, found.message
    return float(found.fun)
