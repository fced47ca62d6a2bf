"""The schema of a study: which plans are sold, in which label modes, and who attacks them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from attacker.experiment import PROFILES, Experiment, Knowledge, QuerySettings
from attacker.samplers import SamplerSpec
from attacker.sources import SourceSpec
from attacker.tables.schema import CAMPAIGN, Audio, merge
from shared.config import ConfigError, Frozen, validate
from shared.contract import LabelMode
from shared.corpora import CorpusSpec

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,23}$")]
"""Short and plain: plans, accounts and folders are named after it."""
_OWN_FIELDS = ("name", "label_mode", "top_k", "decimals", "temperature", "defences", "budget")
_OVERRIDES = ("proxy", "source", "sampler", "iterations", "query", "knowledge", "surrogate")


class Mode(Frozen):
    """One label mode that the plans are sold in."""

    id: Id
    label_mode: LabelMode
    top_k: int | None = None
    decimals: int | None = None
    temperature: float | None = None

    def document(self) -> dict[str, Any]:
        """Return its part of a plan."""
        return self.model_dump(mode="json", exclude={"id"}, exclude_none=True)


class PlanSpec(Frozen):
    """A plan of the study, sold once in each of its label modes.

    Defences and further fields are the victim's own; it validates them when the study starts, and
    nothing is bought before.
    """

    id: Id
    label: str
    note: str = ""
    defences: tuple[dict[str, Any], ...] = ()
    """The chain, in the order in which it is applied."""
    price_per_clip: float = Field(default=0.0, ge=0)
    label_modes: tuple[Id, ...] | None = None
    """Those of the study's modes that the chain allows; all of them unless given."""
    plan: dict[str, Any] = Field(default={})
    """Further fields of the victim's plan: rates, policies, detectors, a ladder."""

    @field_validator("plan")
    @classmethod
    def _no_other_way(cls, plan: dict[str, Any]) -> dict[str, Any]:
        taken = [name for name in (*_OWN_FIELDS, "price_per_clip") if name in plan]
        if taken:
            raise ValueError(
                f"{', '.join(taken)}: the study says this itself. Use label_modes, defences, "
                "price_per_clip and budgets"
            )
        return plan

    def document(self, mode: Mode) -> dict[str, Any]:
        """Return the victim's plan in ``mode``, without its name."""
        own = {"defences": list(self.defences), "price_per_clip": self.price_per_clip}
        return {**mode.document(), **own, **self.plan}


class Attacker(Frozen):
    """Somebody who attacks every plan, as the same one or with an answer to each."""

    id: Id
    label: str
    adaptive: bool = False
    """Whether it knows of the defences and answers them."""
    source: SourceSpec
    sampler: SamplerSpec
    iterations: int = Field(default=1, ge=1)
    proxy: str | None = None
    """Name of one of the study's corpora; the study's own ``proxy`` unless given."""
    query: dict[str, Any] = Field(default={})
    """What differs from the study's ``query``, such as ``accounts``: the number of a Sybil's."""
    knowledge: dict[str, Any] = Field(default={})
    """What is granted beyond the study's ``knowledge``."""
    surrogate: dict[str, Any] = Field(default={})
    """What differs from the study's ``surrogate``."""
    by_plan: dict[str, dict[str, Any]] = Field(default={})
    """What it does otherwise, by ``*/MODE``, ``PLAN`` or ``PLAN/MODE``; the later of these is
    merged over the earlier. The keys are those above: source to surrogate."""

    @field_validator("by_plan")
    @classmethod
    def _known_keys(cls, changes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for where, change in changes.items():
            unknown = sorted(set(change) - set(_OVERRIDES))
            if unknown:
                raise ValueError(
                    f"{where}: {', '.join(unknown)} cannot differ by plan. What can: "
                    f"{', '.join(_OVERRIDES)}"
                )
        return changes

    def against(self, plan: str, mode: str) -> dict[str, Any]:
        """Return what it does against ``plan`` in label mode ``mode``, as plain data."""
        data = self._usual()
        for place in (f"*/{mode}", plan, f"{plan}/{mode}"):
            data = merge(data, self.by_plan.get(place, {}))
        return data

    def _usual(self) -> dict[str, Any]:
        """Return what it does wherever ``by_plan`` says nothing else."""
        return self.model_dump(mode="json", include=set(_OVERRIDES))

    def demand_answer(self, plan: str, mode: str) -> None:
        """Refuse an answer to ``plan`` that is granted knowledge and does nothing with it.

        Raises:
            ValueError: its cells would be the naive ones over again, and count as adaptive.
        """
        usual, here = self._usual(), self.against(plan, mode)
        if here != usual and here | {"knowledge": None} == usual | {"knowledge": None}:
            raise ValueError(
                f"attacker {self.id}: by_plan grants knowledge against {plan}/{mode}, and nothing "
                "that is done there differs. Say in source, sampler, iterations, query or "
                "surrogate what it does with it, or leave the knowledge out"
            )


class Honest(Frozen):
    """The honest traffic that every plan is measured with; see ``shared.honest``."""

    users: tuple[dict[str, Any], ...] = Field(min_length=1)
    """User profiles, each with its ``kind`` and settings."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0,), min_length=1)
    settings: dict[str, Any] = Field(default={})
    """What all users share: clips, rates."""


class Study(Frozen):
    """A study with one profile's sizes."""

    name: Id
    title: str
    victim: str
    """The recipe of the victim that it is meant for, for messages and the page."""
    audio: Audio
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    budgets: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    """Clips that one cell may buy; each budget is a campaign of its own under its own keys."""
    marks: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1.0,)
    """Shares of a budget at which a surrogate is trained."""
    label_modes: tuple[Mode, ...] = Field(min_length=1)
    """``soft`` and ``hard`` may be written as they are."""
    knowledge: Knowledge = Knowledge()
    query: QuerySettings = QuerySettings()
    corpora: dict[str, CorpusSpec]
    proxy: str
    """The corpus of attackers that name none."""
    surrogate: dict[str, Any]
    """As in an experiment."""
    by_budget: dict[int, dict[str, Any]] = Field(default={})
    """What differs from ``surrogate`` at a budget, such as the epochs."""
    plans: tuple[PlanSpec, ...] = Field(min_length=1)
    attackers: tuple[Attacker, ...] = Field(min_length=1)
    honest: Honest | None = None

    @field_validator("label_modes", mode="before")
    @classmethod
    def _short_modes(cls, modes: Any) -> Any:
        if not isinstance(modes, list | tuple):
            return modes
        return [{"id": m, "label_mode": m} if isinstance(m, str) else m for m in modes]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what, names in self._names().items():
            if len(set(names)) != len(names):
                raise ValueError(f"{what} must differ: {', '.join(map(str, names))}")
        self._demand_names()
        for plan in self.plans:
            for mode in self.modes_of(plan):
                for attacker in self.attackers:
                    attacker.demand_answer(plan.id, mode.id)
                    for budget in self.budgets:
                        self.experiment(plan, mode, attacker, budget, self.seeds[0])
        return self

    def modes_of(self, plan: PlanSpec) -> tuple[Mode, ...]:
        """Return the label modes that ``plan`` is sold in."""
        allowed = plan.label_modes
        return tuple(m for m in self.label_modes if allowed is None or m.id in allowed)

    def experiment(
        self, plan: PlanSpec, mode: Mode, attacker: Attacker, budget: int, seed: int
    ) -> Experiment:
        """Return the experiment of one cell.

        Raises:
            ConfigError: it makes no sense; the message says which cell it is.
        """
        name = f"{plan.id}-{mode.id}-b{budget}-{attacker.id}-s{seed}"
        said = attacker.against(plan.id, mode.id)
        surrogate = merge(merge(self.surrogate, self.by_budget.get(budget, {})), said["surrogate"])
        corpus = said["proxy"] or self.proxy
        if corpus not in self.corpora:
            raise ConfigError(_unknown("corpus", corpus, self.corpora, name))
        campaign = {key: said[key] for key in ("source", "sampler", "iterations")}
        data = {
            "name": name[:64],
            "seed": seed,
            "profile": self._profile(),
            "knowledge": merge(self.knowledge.model_dump(mode="json"), said["knowledge"]),
            "proxy": self.corpora[corpus].model_dump(mode="json"),
            "query": merge(self.query.model_dump(mode="json"), said["query"]),
            "budget": budget,
            "marks": sorted({max(1, round(share * budget)) for share in self.marks}),
            "campaigns": [{"name": CAMPAIGN, **campaign}],
            "surrogate": surrogate,
        }
        return validate(data, Experiment, origin=f"cell {name}")

    def _profile(self) -> Literal["desk", "paper"] | None:
        sizes = (self.audio.sample_rate_hz, self.audio.clip_samples)
        for name in ("desk", "paper"):
            if PROFILES[name] == sizes:
                return name
        return None

    def _names(self) -> Mapping[str, list[Any]]:
        return {
            "ids of plans": [plan.id for plan in self.plans],
            "ids of attackers": [attacker.id for attacker in self.attackers],
            "ids of label_modes": [mode.id for mode in self.label_modes],
            "budgets": list(self.budgets),
            "seeds": list(self.seeds),
        }

    def _demand_names(self) -> None:
        modes = [mode.id for mode in self.label_modes]
        for plan in self.plans:
            for mode in plan.label_modes or ():
                if mode not in modes:
                    raise ValueError(_unknown("label mode", mode, modes, f"plan {plan.id}"))
        plans = [plan.id for plan in self.plans]
        places = {*plans, *(f"{p}/{m}" for p in (*plans, "*") for m in modes)}
        for attacker in self.attackers:
            for place in attacker.by_plan:
                if place not in places:
                    who = f"attacker {attacker.id}: by_plan"
                    raise ValueError(_unknown("plan", place, plans, who))
        for budget in self.by_budget:
            if budget not in self.budgets:
                raise ValueError(_unknown("budget", budget, self.budgets, "by_budget"))


def _unknown(what: str, name: Any, known: Any, where: str) -> str:
    valid = ", ".join(map(str, known)) or "none"
    return f"{where} names the {what} {name!r}; this study's are: {valid}. Name one of these"
