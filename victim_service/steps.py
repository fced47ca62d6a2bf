"""The steps of a ladder: what each of them changes in the terms under which an account is served.

No step gives more than there was before it: that is refused when the plan is read.
"""

from abc import ABC, abstractmethod
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, SerializeAsAny, model_validator

from shared.config import Frozen
from shared.contract import LabelMode
from shared.proof import MOST_BITS
from victim_service.defences import AnyDefenceSpec, check_repeats
from victim_service.defences.proof_of_work import ProofOfWorkSpec
from victim_service.kinds import of_kind
from victim_service.narrowing import narrowed

if TYPE_CHECKING:
    from victim_service.ladder import Terms


class StepSpec(Frozen, ABC):
    """Base of the steps: ``kind``, and what it changes."""

    model_config = ConfigDict(strict=True)

    kind: str

    @abstractmethod
    def change(self, terms: "Terms") -> "Terms":
        """Return ``terms`` with the step in force.

        Raises:
            ValueError: it would give the account more than it has.
        """


class PriceUp(StepSpec):
    """Every clip costs more units of the budgets, rounded up for each query."""

    kind: Literal["price_up"] = "price_up"
    factor: float = Field(gt=1, le=1000, allow_inf_nan=False)

    def change(self, terms: "Terms") -> "Terms":
        """Multiply the price."""
        # The number that was written: as a float, 1.1 is a little more, and 50 clips would cost 56.
        return replace(terms, factor=terms.factor * Fraction(str(self.factor)))


class Degrade(StepSpec):
    """Less is told: more defences behind what the plan answers, another label mode, or both."""

    kind: Literal["degrade"] = "degrade"
    defences: tuple[AnyDefenceSpec, ...] = Field(default=(), strict=False)
    label_mode: LabelMode | None = None
    top_k: int | None = Field(default=None, ge=1, le=2**31)
    decimals: int | None = Field(default=None, ge=1, le=6)
    temperature: float | None = Field(default=None, ge=0.05, le=100, allow_inf_nan=False)

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.defences and self.label_mode is None:
            raise ValueError("degrade changes nothing. Give it defences, a label_mode, or both")
        fields = (self.top_k, self.decimals, self.temperature)
        if self.label_mode is None and any(field is not None for field in fields):
            raise ValueError("top_k, decimals and temperature go with a label_mode. Set it, too")
        check_repeats(self.defences)
        if mark := next((spec.kind for spec in self.defences if spec.marks), ""):
            raise ValueError(
                f"{mark} in a degrade leaves a mark that nobody can verify: which clips were "
                "answered on which rung is not kept. Put it among the plan's own defences"
            )
        return self

    def change(self, terms: "Terms") -> "Terms":
        """Work on what was told before, and release no more of it."""
        mode: dict[str, Any] = {}
        if self.label_mode is not None:
            for name in ("label_mode", "top_k", "decimals", "temperature"):
                mode[name] = getattr(self, name)
        return replace(terms, plan=narrowed(terms.plan, self.defences, mode))


class Challenge(StepSpec):
    """Every query must prove work before it is sold."""

    kind: Literal["challenge"] = "challenge"
    bits: int = Field(ge=1, le=MOST_BITS)
    """Bits a clip; each doubling of a batch is one more."""

    def change(self, terms: "Terms") -> "Terms":
        """Ask for more work."""
        chain = terms.plan.defences
        asked = [spec.bits for spec in chain if isinstance(spec, ProofOfWorkSpec)]
        before = max([terms.bits, *asked])
        if self.bits <= before:
            raise ValueError(
                f"challenge of {self.bits} bits asks for no more than the {before} before it. "
                f"Set more than {before}, or leave it out"
            )
        return replace(terms, bits=self.bits)


class Throttle(StepSpec):
    """A lower rate for each key of the account, in the place of the plan's.

    Batches above the burst are refused for good.
    """

    kind: Literal["throttle"] = "throttle"
    rate_per_s: float = Field(ge=1e-6, le=1e6)
    burst: int = Field(ge=1, le=2**31)

    def change(self, terms: "Terms") -> "Terms":
        """Slow the account down."""
        plan = terms.plan
        if plan.rate_per_s is not None and self.rate_per_s >= plan.rate_per_s:
            raise ValueError(
                f"throttle to {self.rate_per_s:g} clips/s is no slower than the "
                f"{plan.rate_per_s:g} before it. Set a lower rate_per_s"
            )
        if plan.burst is not None and self.burst > plan.burst:
            raise ValueError(
                f"throttle to a burst of {self.burst} grants more at once than the {plan.burst} "
                f"before it. Set burst to {plan.burst} or less"
            )
        changes = {"rate_per_s": self.rate_per_s, "burst": self.burst}
        return replace(terms, plan=plan.model_copy(update=changes))


class Suspend(StepSpec):
    """Nothing is answered any more."""

    kind: Literal["suspend"] = "suspend"

    def change(self, terms: "Terms") -> "Terms":
        """Refuse everything."""
        return replace(terms, suspended=True)


STEPS: dict[str, type[StepSpec]] = {
    "challenge": Challenge,
    "degrade": Degrade,
    "price_up": PriceUp,
    "suspend": Suspend,
    "throttle": Throttle,
}

AnyStepSpec = Annotated[SerializeAsAny[StepSpec], BeforeValidator(of_kind(STEPS, StepSpec))]
"""A field that holds any step in the table."""
