"""From a study to its cells, each with the plan that it buys under and an account of its own."""

from dataclasses import dataclass
from typing import Any

from attacker.cells.cell import Cell, content_hash, essence
from attacker.lab.study.schema import Attacker, Mode, PlanSpec, Study

_DIGITS = 8


@dataclass(frozen=True)
class SoldPlan:
    """A plan in one label mode, as the victim sells it.

    Its name says what it holds: another content is another plan, never another version, so that no
    key changes what it buys.
    """

    spec: PlanSpec
    mode: Mode

    @property
    def document(self) -> dict[str, Any]:
        """The victim's plan, without its name."""
        return self.spec.document(self.mode)

    @property
    def name(self) -> str:
        """The name that it is sold under."""
        return f"study-{self.spec.id}-{self.mode.id}-{content_hash(self.document)[:_DIGITS]}"


@dataclass(frozen=True)
class StudyCell:
    """One cell of a study: an attacker against a plan, at a budget, with a seed."""

    plan: SoldPlan
    attacker: Attacker
    budget: int
    seed: int
    name: str
    cell: Cell
    """Where two cells are the same attack on the same plan, they share this one and its key."""

    def account(self, tag: str) -> str:
        """Return the account that pays: the same in every run, for answers depend on it."""
        words = (self.plan.spec.id, self.plan.mode.id, f"b{self.budget}", f"s{self.seed}")
        return "-".join(
            ("-".join(words)[:40].rstrip("-"), self.cell.identity, *filter(None, [tag]))
        )


def resolve(study: Study) -> tuple[StudyCell, ...]:
    """Return the cells of ``study``: plan, mode, budget, attacker, seed, the last one fastest."""
    shared: dict[str, Cell] = {}
    cells = []
    for spec in study.plans:
        for mode in study.modes_of(spec):
            plan = SoldPlan(spec, mode)
            for budget in study.budgets:
                for attacker in study.attackers:
                    for seed in study.seeds:
                        made = _cell(study, plan, attacker, budget, seed)
                        cell = shared.setdefault(made.identity, made)
                        cells.append(StudyCell(plan, attacker, budget, seed, made.name, cell))
    return tuple(cells)


def distinct(cells: tuple[StudyCell, ...]) -> list[StudyCell]:
    """Return every attack once, though cells may share it."""
    found: dict[str, StudyCell] = {}
    for one in cells:
        found.setdefault(one.cell.identity, one)
    return list(found.values())


def _cell(study: Study, plan: SoldPlan, attacker: Attacker, budget: int, seed: int) -> Cell:
    experiment = study.experiment(plan.spec, plan.mode, attacker, budget, seed)
    facts = {name: value for name, value in essence(experiment).items() if name != "name"}
    identity = content_hash({"experiment": facts, "plan": plan.name, "sold": plan.document})
    return Cell(name=experiment.name, identity=identity, experiment=experiment)
