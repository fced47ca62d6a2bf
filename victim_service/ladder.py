"""The policy ladder of a plan: what its accounts get, the more alarms the detectors raise.

Rung r of an account has the first r steps in force together; on rung 0 it is observed only. Each
step changes the terms under which the account is served, in a pure way: an answer follows from the
rung that its reservation was made under.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Self

from pydantic import ConfigDict, Field, model_validator

from shared.config import Frozen
from victim_service.steps import AnyStepSpec

if TYPE_CHECKING:
    from victim_service.plans import Plan


@dataclass(frozen=True)
class Terms:
    """Under what an account is served on its rung."""

    plan: "Plan"
    """The plan with the defences, label mode and rate that are in force."""
    factor: Fraction = Fraction(1)
    """What a clip costs, in what it costs on rung 0; exact, since costs are rounded up."""
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
