"""`proof_of_work`: answers are as the model gives them, and each has to be worked for.

The work is asked for before a query is reserved; see :mod:`victim_service.proofs`. Here stands how
much of it: the same for all, or the more, the more an account's answers reveal beyond what those of
an honest account do.
"""

import math
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from shared.proof import MOST_BITS
from victim_service.account_state import AccountState
from victim_service.defences.base import Defence, DefenceContext, DefenceSpec, Form, Probabilities


class ProofOfWorkSpec(DefenceSpec):
    """Asks 2^``bits`` hashes in the mean for a clip, and more of an account that learns too much.

    With ``base``, the work grows by this factor with every unit of leakage above ``allowance`` +
    ``per_clip`` n, which an honest account is expected to have had after n clips. One that has had
    less pays no more than 2^``bits``, and no less. The work never exceeds 2^``most_bits``.

    Reference: Dziedzic et al., "Increasing the Cost of Model Extraction with Calibrated Proof of
    Work", ICLR 2022. There, the distance counts on both sides, the cost is that of the service as
    a whole, and what an account learns is measured under differential privacy.
    """

    needs: ClassVar[Form] = "label"

    kind: Literal["proof_of_work"] = "proof_of_work"
    bits: int = Field(default=12, ge=1, le=MOST_BITS)
    base: float | None = Field(default=None, gt=1, le=16, allow_inf_nan=False)
    per_clip: float = Field(default=0.1, ge=0, le=1, allow_inf_nan=False)
    """Mean leakage of an honest clip: fit it to honest traffic."""
    allowance: float = Field(default=10.0, ge=0, le=1e9, allow_inf_nan=False)
    """Leakage that is free beside it: it covers the spread of honest accounts."""
    most_bits: int = Field(default=20, ge=1, le=MOST_BITS)
    valid_for_s: float = Field(default=300.0, ge=1, le=86_400, allow_inf_nan=False)
    """Time that a challenge may be answered in."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.most_bits < self.bits:
            raise ValueError("most_bits is less than bits. Raise it, or lower bits")
        return self

    @property
    def argmax_kept(self) -> bool:
        """Always."""
        return True

    def bits_for(self, state: AccountState) -> int:
        """Return the bits of work for one clip of an account, ``bits`` to ``most_bits``."""
        if self.base is None:
            return self.bits
        above = state.leakage - self.allowance - self.per_clip * state.queries
        # Bounded first: what is infinitely above has no whole number of bits.
        extra = min(max(0.0, above) * math.log2(self.base), float(MOST_BITS))
        return min(self.bits + math.floor(extra), self.most_bits)

    def build(self) -> "ProofOfWork":
        """Return the defence."""
        return ProofOfWork()


class ProofOfWork(Defence):
    """Defence that changes nothing: its price was paid before."""

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return the rows as they are."""
        del context
        return probabilities
