"""The policy ladder of a plan: what its accounts get, the more alarms the detectors raise.

Rung r of an account has the first r steps in force together; on rung 0 it is observed only. Each
step changes the terms under which the account is served, in a pure way: an answer follows from the
rung that its reservation was made under.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, SerializeAsAny, model_validator

from shared.config import Frozen
from shared.contract import LabelMode
from shared.proof import MOST_BITS
from victim_service.defences import AnyDefenceSpec
from victim_service.kinds import of_kind

if TYPE_CHECKING:
    from victim_service.plans import Plan


@dataclass(frozen=True)
class Terms:
    """Under what an account is served on its rung."""

    plan: "Plan"
    """The plan with the defences, label mode and rate that are in force."""
    factor: float = 1.0
    """What a clip costs, in what it costs on rung 0."""
    bits: int = 0
    """Work that every clip must prove at least."""
    suspended: bool = False

    def units(self, plain: int | None, clips: int) -> int | None:
        """Return what ``clips`` clips cost, in units, that cost ``plain`` on rung 0.

        None is one unit a clip, in the result, too.
        """
        if self.factor == 1:
            return plain
        return math.ceil(self.factor * (clips if plain is None else plain))


class StepSpec(Frozen, ABC):
    """Base of the steps: ``kind``, and what it changes."""

    model_config = ConfigDict(strict=True)

    kind: str

    @abstractmethod
    def change(self, terms: Terms) -> Terms:
        """Return ``terms`` with the step in force.

        Raises:
            ValueError: it would give the account more than it has.
        """


class PriceUp(StepSpec):
    """Every clip costs more units of the budgets, rounded up for each query."""

    kind: Literal["price_up"] = "price_up"
    factor: float = Field(gt=1, le=1000, allow_inf_nan=False)

    def change(self, terms: Terms) -> Terms:
        """Multiply the price."""
        return replace(terms, factor=terms.factor * self.factor)


class Degrade(StepSpec):
    """More defences behind those of the plan, another label mode, or both."""

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
        return self

    def change(self, terms: Terms) -> Terms:
        """Lengthen the chain, and release less."""
        changes: dict[str, Any] = {"defences": terms.plan.defences + self.defences}
        if self.label_mode is not None:
            for name in ("label_mode", "top_k", "decimals", "temperature"):
                changes[name] = getattr(self, name)
        return replace(terms, plan=terms.plan.model_copy(update=changes))


class Challenge(StepSpec):
    """Every query must prove work before it is sold."""

    kind: Literal["challenge"] = "challenge"
    bits: int = Field(ge=1, le=MOST_BITS)
    """Bits a clip; each doubling of a batch is one more."""

    def change(self, terms: Terms) -> Terms:
        """Ask for work."""
        return replace(terms, bits=max(terms.bits, self.bits))


class Throttle(StepSpec):
    """Another rate for each key of the account, in the place of the plan's."""

    kind: Literal["throttle"] = "throttle"
    rate_per_s: float = Field(ge=1e-6, le=1e6)
    burst: int = Field(ge=1, le=2**31)

    def change(self, terms: Terms) -> Terms:
        """Slow the account down."""
        plan = terms.plan
        if plan.rate_per_s is not None and self.rate_per_s > plan.rate_per_s:
            raise ValueError(
                f"throttle to {self.rate_per_s:g} clips/s is no slower than the "
                f"{plan.rate_per_s:g} before it. Set a lower rate_per_s"
            )
        changes = {"rate_per_s": self.rate_per_s, "burst": self.burst}
        return replace(terms, plan=plan.model_copy(update=changes))


class Suspend(StepSpec):
    """Nothing is answered any more."""

    kind: Literal["suspend"] = "suspend"

    def change(self, terms: Terms) -> Terms:
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


class Ladder(Frozen):
    """The steps of a plan, from the mildest on."""

    model_config = ConfigDict(strict=True)

    alarms: int = Field(default=1, ge=1, le=1_000_000)
    """Alarms, of all detectors together, for one step."""
    steps: tuple[AnyStepSpec, ...] = Field(min_length=1, max_length=32, strict=False)

    @model_validator(mode="after")
    def _ends_with_suspend(self) -> Self:
        if any(step.kind == "suspend" for step in self.steps[:-1]):
            raise ValueError("nothing comes after suspend. Put it last")
        return self

    def kinds(self, rung: int) -> list[str]:
        """Return the steps in force on ``rung``, from the mildest on."""
        return [step.kind for step in self.steps[:rung]]


def terms_of(plan: "Plan", rung: int) -> Terms:
    """Return the terms of ``plan`` on ``rung``; one beyond the last step is as the last.

    Raises:
        ValueError: a step contradicts the plan, or a step before it.
    """
    return _terms(plan, rung) if rung and plan.ladder is not None else Terms(plan)


@lru_cache(maxsize=256)
def _terms(plan: "Plan", rung: int) -> Terms:
    terms = Terms(plan)
    if plan.ladder is not None:
        for step in plan.ladder.steps[:rung]:
            terms = step.change(terms)
    return terms
