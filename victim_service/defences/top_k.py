"""`top_k`: the leading probabilities; what is withheld is spread evenly or left out."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from victim_service.defences.base import Defence, DefenceContext, DefenceSpec, Form, Probabilities
from victim_service.defences.simplex import exact, released


class TopKSpec(DefenceSpec):
    """Keeps the ``k`` largest probabilities of each row.

    Unlike the label mode of the same name, it answers whole rows: who reads one is not told where
    the model's own probabilities end.
    """

    needs: ClassVar[Form] = "coarse"
    gives: ClassVar[Form] = "top"

    kind: Literal["top_k"] = "top_k"
    k: int = Field(ge=1, le=2**31)
    rest: Literal["even", "renormalise"] = "even"
    """even: the remainder is spread over the other labels; renormalise: over the ``k`` in
    proportion, and the others get 0."""

    @property
    def leading(self) -> int:
        """``k``."""
        return self.k

    @property
    def argmax_kept(self) -> bool:
        """Always."""
        return True

    def build(self) -> "TopK":
        """Return the defence."""
        return TopK(self.k, self.rest)


class TopK(Defence):
    """Defence that draws nothing.

    Reference: Tramèr et al., "Stealing Machine Learning Models via Prediction APIs", USENIX
    Security 2016, section 7 (what an API need not tell).
    """

    def __init__(self, k: int, rest: Literal["even", "renormalise"]) -> None:
        self.k = k
        self.rest = rest

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return rows of which k entries are the model's own, to scale."""
        del context
        classes = probabilities.shape[1]
        if self.k >= classes:
            return probabilities
        top = probabilities.argmax(axis=1)
        rows = exact(probabilities)
        order = np.argsort(-rows, axis=1, kind="stable")
        withheld = np.ascontiguousarray(order[:, self.k :])
        if self.rest == "even":
            fill = np.take_along_axis(rows, withheld, axis=1).mean(axis=1, keepdims=True)
        else:
            fill = np.zeros((len(rows), 1))
        np.put_along_axis(rows, withheld, fill, axis=1)
        return released(rows, top)
