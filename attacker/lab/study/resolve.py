"""From a study to its cells, each with the plan that it buys under and accounts of its own."""

from dataclasses import dataclass
from typing import Any

from attacker.cells.cell import Cell, content_hash, essence
from attacker.dealing import shares
from attacker.lab.study.schema import Attacker, Mode, PlanSpec, Study
from attacker.sybil import suffixes

_DIGITS = 8
_WORDS = 40
"""Characters of an account's name that say which cell it is; the rest of 64 tells it apart."""


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
    """Where two cells are the same attack on the same plan, they share this one and its keys."""

    def account(self, tag: str) -> str:
        """Return the account that pays: the same in every run, for answers depend on it.

        The names of a Sybil's accounts begin with it.
        """
        words = (self.plan.spec.id, self.plan.mode.id, f"b{self.budget}", f"s{self.seed}")
        room = _WORDS - len(self._suffixes[-1])
        return "-".join(
            ("-".join(words)[:room].rstrip("-"), self.cell.identity, *filter(None, [tag]))
        )

    def shares(self, account: str) -> dict[str, int]:
        """Return the clips that each of its accounts may buy, by name; together its budget.

        ``account`` is what the names begin with. A cell that is no Sybil has this one alone.
        """
        parts = shares(self.budget, len(self._suffixes))
        return {account + end: part for end, part in zip(self._suffixes, parts, strict=True)}

    @property
    def _suffixes(self) -> tuple[str, ...]:
        return suffixes(self.cell.experiment.query.accounts)


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
