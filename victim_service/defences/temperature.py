"""`temperature`: the softmax of scaled logits, from the probabilities alone."""

from typing import Literal

import numpy as np
from pydantic import Field

from victim_service.defences.base import Defence, DefenceContext, DefenceSpec, Probabilities
from victim_service.defences.simplex import released


class TemperatureSpec(DefenceSpec):
    """Answers softmax(log(p) / ``temperature``)."""

    kind: Literal["temperature"] = "temperature"
    temperature: float = Field(ge=0.05, le=100, allow_inf_nan=False)
    """Above 1 flattens, below 1 sharpens."""

    @property
    def argmax_kept(self) -> bool:
        """Always."""
        return True

    def build(self) -> "Temperature":
        """Return the defence."""
        return Temperature(self.temperature)


class Temperature(Defence):
    """Defence that draws nothing."""

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return the tempered rows."""
        del context
        return temper(probabilities, self.temperature)


def temper(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return rows (B, K) proportional to p^(1/T): what softmax(logits / T) gives.

    The most probable label stays: where flattened labels come out equal, it leads by one ulp.

    Reference: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", eq. 1.
    """
    if temperature == 1:
        return probabilities
    top = probabilities.argmax(axis=1)
    largest = probabilities.max(axis=1, keepdims=True)
    powers = (probabilities / largest.astype(np.float64)) ** (1 / temperature)
    return released(powers, top)
