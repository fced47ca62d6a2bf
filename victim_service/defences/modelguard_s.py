"""`modelguard_s`: rows from a short list for each label, so that many clips share one answer.

The published variant answers the first earlier answer that is near enough, and so depends on who
asked before. Answers here are functions of the clip alone: the list is fixed by epsilon and K.
"""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from victim_service.defences.base import Defence, DefenceContext, Form, Probabilities
from victim_service.defences.bounded import BoundedSpec
from victim_service.defences.simplex import Rows, exact, l1_distances, released


class ModelGuardSSpec(BoundedSpec):
    """Answers the first row of the label's list within an L1 distance of ``epsilon``.

    The list of a label opens with rows that tell this label and a confidence; then come those that
    tell 2, 4, 8 labels and so on, up to all. Every probability but the top one, which is what
    remains, is a power of 1 - ``epsilon`` / 2.
    """

    gives: ClassVar[Form] = "coarse"

    kind: Literal["modelguard_s"] = "modelguard_s"
    epsilon: float = Field(ge=0.01, lt=2)

    @property
    def argmax_kept(self) -> bool:
        """Always: what the other labels lose goes to the top one."""
        return True

    def build(self) -> "ModelGuardS":
        """Return the defence."""
        return ModelGuardS(self.epsilon)


class ModelGuardS(Defence):
    """Defence that draws nothing and keeps no state.

    Reference: Tang et al., "ModelGuard: Information-Theoretic Defense Against Model Extraction
    Attacks", USENIX Security 2024 (the variant S; the fixed list is our own choice).
    """

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return rows of the lists."""
        del context
        top = probabilities.argmax(axis=1)
        return released(quantise(exact(probabilities), self.epsilon), top)


def quantise(rows: Rows, epsilon: float) -> Rows:
    """Return for each of ``rows`` (B, K) the first row of its label's list within ``epsilon``.

    One is always near enough: with all labels told, those but the top one lose less than half of
    epsilon of themselves, and the top one gains as much.
    """
    classes = rows.shape[1]
    order = np.argsort(-rows, axis=1, kind="stable")
    descending = np.take_along_axis(rows, order, axis=1)
    answers = np.empty_like(rows)
    open_rows = np.ones((len(rows), 1), dtype=bool)
    told = 1
    while open_rows.any():
        tried = _tell(descending, min(told, classes), epsilon)
        near = open_rows & ((l1_distances(tried, descending) <= epsilon) | (told >= classes))
        answers = np.where(near, tried, answers)
        open_rows &= ~near
        told *= 2
    unsorted = np.empty_like(rows)
    np.put_along_axis(unsorted, order, answers, axis=1)
    return unsorted


def _tell(descending: Rows, told: int, epsilon: float) -> Rows:
    """Return rows (B, K) that tell the first ``told`` labels, and one value for all others."""
    tried = descending.copy()
    if told < descending.shape[1]:
        tried[:, told:] = descending[:, told:].mean(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):  # 0 is level infinity
        levels = np.log(tried[:, 1:]) / np.log1p(-epsilon / 2)
    # A power that comes back a rounding error too small is itself, and not the next one.
    tried[:, 1:] = (1 - epsilon / 2) ** np.ceil(levels - 1e-9)
    tried[:, 0] = 1 - tried[:, 1:].sum(axis=1)
    return tried
