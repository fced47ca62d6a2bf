"""What an answer reveals, in [0, 1] a clip, and what a plan asks for it.

An answer of which the model is sure tells a thief little that a public label would not; one near a
boundary tells where the boundary lies. So the measures grow with the model's doubt. They are taken
of the model's own probabilities, before any defence, so that no defence makes a query cheaper or
dearer.

Reference: Dziedzic et al., "Increasing the Cost of Model Extraction with Calibrated Proof of Work",
ICLR 2022, which compares entropy and gap with a measure under differential privacy.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from shared.config import Frozen
from victim_service.account_state import AccountState

Measure = Literal["entropy", "margin"]
Probabilities = npt.NDArray[np.float32]


class LeakagePrice(Frozen):
    """Asks 1 to ``most`` units for a clip, by what its answer reveals."""

    model_config = ConfigDict(strict=True)

    measure: Measure = "entropy"
    most: int = Field(ge=2, le=1000)
    """Units of a clip that reveals as much as any can: what is reserved before its answer."""

    def reserved(self, clips: int) -> int:
        """Return the units that ``clips`` clips can cost at most."""
        return clips * self.most

    def cost(self, probabilities: Probabilities) -> int:
        """Return the units of the model's rows (B, K), the same whether sent alone or together."""
        each = leakage_of(probabilities, self.measure) * (self.most - 1)
        return len(each) + int(np.floor(each + 0.5).sum())


def leakage_of(
    probabilities: Probabilities, measure: Measure = "entropy"
) -> npt.NDArray[np.float64]:
    """Return what each of the model's rows (B, K) reveals, as (B,) in [0, 1].

    ``entropy`` is that of the row in units of ln K; ``margin`` is 1 less the difference of its two
    largest probabilities. With one label there is nothing to reveal.
    """
    rows = probabilities.astype(np.float64)
    classes = rows.shape[1]
    if classes < 2:
        return np.zeros(len(rows))
    if measure == "margin":
        leading = np.partition(rows, classes - 2, axis=1)[:, -2:]
        revealed = 1 - (leading[:, 1] - leading[:, 0])
    else:
        logs = np.log(rows, where=rows > 0, out=np.zeros_like(rows))
        revealed = -(rows * logs).sum(axis=1) / np.log(classes)
    bounded: npt.NDArray[np.float64] = np.clip(revealed, 0.0, 1.0)
    return bounded


def next_state(
    state: AccountState, probabilities: Probabilities, measure: Measure = "entropy"
) -> AccountState:
    """Return ``state`` after answers to B clips, given the model's rows (B, K)."""
    return state.model_copy(
        update={
            "queries": state.queries + len(probabilities),
            "leakage": state.leakage + float(leakage_of(probabilities, measure).sum()),
        }
    )
