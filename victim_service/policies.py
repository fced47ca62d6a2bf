"""What the policies of a plan make of an account's state, and of what it is answered."""

import numpy as np
import numpy.typing as npt

from victim_service import leakage, proofs
from victim_service.account_state import AccountState
from victim_service.plans import Plan

Probabilities = npt.NDArray[np.float32]


def keeps_state(plan: Plan) -> bool:
    """Whether answers under ``plan`` depend on those that the account has had."""
    return plan.speaker_cap is not None or proofs.asks_for_state(plan.defences)


def next_state(plan: Plan, state: AccountState, probabilities: Probabilities) -> AccountState:
    """Return ``state`` after answers under ``plan`` to B clips, given the model's rows (B, K)."""
    after = leakage.next_state(state, probabilities, plan.leakage_measure)
    return plan.speaker_cap.next_state(after, probabilities) if plan.speaker_cap else after


def shown(plan: Plan, state: str, probabilities: Probabilities) -> Probabilities:
    """Return what the model's rows (B, K) are taken for, before any defence.

    ``state`` is the account's as it stands in the ledger.
    """
    if plan.speaker_cap is None:
        return probabilities
    return plan.speaker_cap.apply(probabilities, AccountState.read(state))


def cost(plan: Plan, probabilities: Probabilities) -> int | None:
    """Return the units that answers with these rows cost; None for one a clip."""
    return plan.leakage_price.cost(probabilities) if plan.leakage_price else None
