"""`temperature`: the softmax of scaled logits."""

from typing import Literal

import numpy as np
from pydantic import Field

from attacker.known_defences.base import KnownDefence, to_scale


class KnownTemperature(KnownDefence):
    """Rows are proportional to p^(1/T).

    Reference: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", eq. 1.
    """

    kind: Literal["temperature"] = "temperature"
    temperature: float = Field(ge=0.05, le=100, allow_inf_nan=False)
    """T: above 1 flattens, below 1 sharpens."""

    def defend(self, rows: np.ndarray) -> np.ndarray:
        """Return the tempered rows."""
        largest = rows.max(axis=1, keepdims=True)
        return to_scale((rows / largest) ** (1 / self.temperature))
