"""Plans: what is sold. One YAML file a plan, named as the plan is."""

import json
from pathlib import Path
from typing import Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from shared.config import ConfigError, Frozen, load_yaml, validate
from shared.contract import LabelMode
from victim_service.defences import (
    AnyDefenceSpec,
    DefenceSpec,
    check_chain,
    check_release,
    check_temperatures,
)
from victim_service.defences.base import Form
from victim_service.detectors import AnyDetectorSpec, DetectorSpec
from victim_service.errors import StartError
from victim_service.ladder import Ladder, Terms, terms_of
from victim_service.leakage import LeakagePrice, Measure
from victim_service.ledger.base import (
    GLOBAL_SUBJECT,
    Budget,
    Policy,
    Rate,
    account_subject,
    daily,
    key_subject,
)
from victim_service.ledger.records import KeyRecord
from victim_service.narrowing import one_label, temperatures
from victim_service.prices import PriceTier, check_tiers, money
from victim_service.speaker_cap import SpeakerCap

RESERVED = ("audit", "admin")
"""Scopes stand in the place of a plan in keys and entries, so that no plan may be named so."""
_MODE_FIELDS = {"top_k": "top_k", "rounded": "decimals", "temperature": "temperature"}
"""The label modes that have a field of their own."""
_MODE_NEEDS: dict[LabelMode, Form] = {
    "soft": "label",
    "hard": "label",
    "rounded": "top",
    "top_k": "top",
    "temperature": "soft",
}
"""The least that rows must tell after the defences: a mode that shows more would show what is
invented."""


class Plan(Frozen):
    """Label mode, defences, budget, rate and price of the keys that are issued under it."""

    model_config = ConfigDict(strict=True)  # `budget: false` is no budget of 0

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    label_mode: LabelMode
    top_k: int | None = Field(default=None, ge=1, le=2**31)
    """How many probabilities leave, in top_k mode."""
    decimals: int | None = Field(default=None, ge=1, le=6)
    """Decimals of a probability, in rounded mode."""
    temperature: float | None = Field(default=None, ge=0.05, le=100, allow_inf_nan=False)
    """T of p^(1/T), in temperature mode: above 1 flattens, below 1 sharpens."""
    defences: tuple[AnyDefenceSpec, ...] = Field(default=(), strict=False)
    """What is done to the model's probabilities before the label mode, in this order."""
    budget: int | None = Field(default=None, ge=0, le=2**53)
    """Units that a key will ever be granted; None is without limit. A clip is one unit, or more
    under ``leakage_price``."""
    account_budget: int | None = Field(default=None, ge=0, le=2**53)
    """Units that all keys of one account together will ever be granted."""
    daily_budget: int | None = Field(default=None, ge=1, le=2**31)
    """Clips that a key is granted within a day: as many at once, and as many more evenly over each
    following day. It counts as a rate does, so that replays pay, too."""
    rate_per_s: float | None = Field(default=None, ge=1e-6, le=1e6)
    """Clips a second that a key is granted in the long run; None is without limit."""
    burst: int | None = Field(default=None, ge=1, le=2**31)
    """Clips that a key is granted at once, which also bounds a batch."""
    price_per_clip: float = Field(default=0.0, ge=0, le=1e9, allow_inf_nan=False)
    """Money for a unit."""
    price_tiers: tuple[PriceTier, ...] = Field(default=(), strict=False)
    """Other prices of a key's later units."""
    leakage_price: LeakagePrice | None = None
    """Units by what an answer reveals."""
    speaker_cap: SpeakerCap | None = None
    """Speakers that an account is told of."""
    detectors: tuple[AnyDetectorSpec, ...] = Field(default=(), strict=False)
    """What watches the queries of an account."""
    ladder: Ladder | None = None
    """What their alarms lead to, and what an operator may set."""
    headers: Literal["full", "coarse", "none"] = "full"
    """What answers and refusals tell of what is left. coarse: the budget in tenths, nothing of the
    rate; none: nothing. ``/v1/account`` always tells all, to those who ask."""

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name in RESERVED:
            raise ValueError("keys of that scope bear this name. Rename the plan")
        return name

    @field_validator("defences")
    @classmethod
    def _sensible(cls, chain: tuple[DefenceSpec, ...]) -> tuple[DefenceSpec, ...]:
        check_chain(chain)
        return chain

    @field_validator("price_tiers")
    @classmethod
    def _rising(cls, tiers: tuple[PriceTier, ...]) -> tuple[PriceTier, ...]:
        check_tiers(tiers)
        return tiers

    @field_validator("detectors")
    @classmethod
    def _all_different(cls, specs: tuple[DetectorSpec, ...]) -> tuple[DetectorSpec, ...]:
        settings = [spec.model_dump_json(exclude={"threshold"}) for spec in specs]
        for place, spec in enumerate(specs):
            if settings[place] in settings[:place]:
                raise ValueError(f"two of {spec.kind} watch alike. Keep one of them")
        return specs

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for rung in range(len(self.ladder.steps) + 1 if self.ladder else 1):
            try:
                terms = terms_of(self, rung)
                terms.plan._check()
                self._check_budgets(terms)
            except ValueError as error:
                if rung == 0:
                    raise
                raise ValueError(f"ladder, step {rung}: {error}") from error
        return self

    def _check(self) -> None:
        for mode, name in _MODE_FIELDS.items():
            if (self.label_mode == mode) != (getattr(self, name) is not None):
                raise ValueError(f"{name} goes with label_mode {mode}. Set both, or neither")
        if (self.rate_per_s is None) != (self.burst is None):
            raise ValueError("rate_per_s and burst go together. Set both, or neither")
        by = one_label(self)
        if self.speaker_cap and self.speaker_cap.beyond == "uniform" and by:
            raise ValueError(
                f"beyond: uniform has no label to tell, and {by} would name one all the same. "
                "Set beyond: told, or show two labels or more"
            )
        check_release(self.defences, self.label_mode, _MODE_NEEDS[self.label_mode], self.top_k)
        check_temperatures(temperatures(self))

    def _check_budgets(self, terms: Terms) -> None:
        least = terms.units(self.reserved(1), 1) or 1
        for name in ("budget", "account_budget"):
            units = getattr(self, name)
            if units is not None and 0 < units < least:
                raise ValueError(
                    f"{name} {units} never sells a clip, for {least} units are set aside for each "
                    f"until it is answered. Set {least} or more, or a lower price"
                )

    @property
    def leakage_measure(self) -> Measure:
        """How the leakage of an account is measured."""
        return self.leakage_price.measure if self.leakage_price else "entropy"

    def reserved(self, clips: int) -> int | None:
        """Return the units that ``clips`` clips may cost; None for one a clip."""
        return self.leakage_price.reserved(clips) if self.leakage_price else None

    def money(self, units: int) -> float:
        """Return what the first ``units`` units of a key cost together."""
        return money(units, self.price_per_clip, self.price_tiers)

    def policies(self, key: KeyRecord, global_budget: int | None) -> tuple[Policy, ...]:
        """Return what a query of ``key`` must satisfy, all or none; the key's own budget first."""
        subject = key_subject(key.key_id)
        limit = self.budget if key.budget is None else key.budget
        policies: list[Policy] = [
            Budget(subject, limit),
            Budget(account_subject(key.account), self.account_budget),
            Budget(GLOBAL_SUBJECT, global_budget),
        ]
        if self.rate_per_s is not None and self.burst is not None:
            policies.append(Rate(subject, self.rate_per_s, self.burst))
        if self.daily_budget is not None:
            policies.append(daily(subject, self.daily_budget))
        return tuple(policies)


AUDIT = Plan.model_construct(name="audit", label_mode="soft", headers="none")
"""What an audit key gets: full probabilities, unmetered, undefended. It cannot be sold."""


def read_plan(document: str, origin: str) -> Plan:
    """Read the JSON that the ledger keeps of a plan; ``origin`` opens every message.

    Raises:
        ConfigError: it is not a plan of this release.
    """
    try:
        data = json.loads(document)
    except ValueError as error:
        raise ConfigError(f"{origin}: not JSON. Put the plan into the ledger again.") from error
    return validate(data, Plan, origin=origin)


def load_plans(folder: Path) -> dict[str, Plan]:
    """Read every plan in ``folder``.

    Raises:
        StartError: there is none, one cannot be read, or a file is not named as its plan.
    """
    plans: dict[str, Plan] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            plan = load_yaml(path, Plan)
        except ConfigError as error:
            raise StartError(str(error)) from error
        if plan.name != path.stem:
            raise StartError(f"{path}: the plan is named {plan.name!r}. Name file and plan alike.")
        plans[plan.name] = plan
    if not plans:
        raise StartError(f"{folder}: there is no plan here. Name a folder of plan files (*.yaml).")
    return plans
