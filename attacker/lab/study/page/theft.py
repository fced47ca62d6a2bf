"""The plans that were attacked: what is in each, and what was stolen under it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attacker.lab.study.manifest import Manifest
from attacker.lab.study.page.level import Level, level_of
from attacker.lab.study.page.told import told
from attacker.lab.study.read import CellRow, StudyTables

POLICIES = (
    "account_budget", "daily_budget", "detectors", "ladder", "leakage_price", "price_tiers",
    "speaker_cap",
)  # fmt: skip
"""Fields of a plan that defend without a chain. A rate does if a campaign ended before it."""


@dataclass(frozen=True)
class Offer:
    """A plan in one label mode: what an operator can sell."""

    plan: str
    mode: str
    label: str
    kinds: tuple[str, ...]
    """Kinds of its defences, in order; none is the undefended victim."""
    labels: int
    """How many the victim knows."""
    price: float
    document: dict[str, Any] | None
    """The victim's plan as it was sold; None where it is not known."""
    sold_as: str | None
    levels: tuple[Level, ...]

    @property
    def defended(self) -> bool:
        """Whether it is more than the undefended victim."""
        return bool(self.kinds) or self._has_policy

    @property
    def answerable(self) -> bool:
        """Whether there is anything in it that an adaptive attacker could answer.

        There is nothing where the chain changes nothing of what its label mode tells.
        """
        if self._has_policy or self.document is None:
            return self.defended
        return bool(told(self.document, self.labels).changed_by)

    @property
    def adaptive(self) -> bool:
        """Whether an attacker who answers the plan was measured at every budget."""
        return {level.budget for level in self.levels if level.answers} == set(self.budgets)

    @property
    def _has_policy(self) -> bool:
        fields = self.document or {}
        cut_short = any(level.bought < level.budget for level in self.levels)
        names = (*POLICIES, "rate_per_s") if cut_short else POLICIES
        return any(fields.get(name) for name in names)

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets that were measured, ascending."""
        return tuple(sorted({level.budget for level in self.levels}))

    @property
    def leaders(self) -> tuple[Level, ...]:
        """What the best attacker got for each budget, ascending; there is one at least."""
        return tuple(best for budget in self.budgets if (best := self.best(budget)) is not None)

    def best(self, budget: int) -> Level | None:
        """Return what the best attacker got for ``budget``: the one with the highest accuracy."""
        own = [level for level in self.levels if level.budget == budget]
        return max(own, key=lambda one: (one.accuracy.mean, one.answers), default=None)


def offers(tables: StudyTables) -> tuple[Offer, ...]:
    """Return every plan in every label mode, in the order of the table."""
    groups: dict[tuple[str, str], list[CellRow]] = {}
    for row in tables.cells:
        groups.setdefault((row.plan, row.label_mode), []).append(row)
    return tuple(_offer(place, rows, tables.manifest) for place, rows in groups.items())


def _offer(place: tuple[str, str], rows: Sequence[CellRow], manifest: Manifest) -> Offer:
    plan, mode = place
    groups: dict[tuple[int, str], list[CellRow]] = {}
    for row in rows:
        groups.setdefault((row.budget, row.attacker), []).append(row)
    naive = {row.identity: row.attacker for row in rows if not row.adaptive}
    return Offer(
        plan=plan,
        mode=mode,
        label=manifest.labels("plans").get(plan, plan),
        kinds=rows[0].kinds(),
        labels=round(1 / rows[0].chance),
        price=rows[0].price_per_clip,
        document=manifest.document(plan, mode),
        sold_as=manifest.sold_as.get(place),
        levels=tuple(level_of(groups[at], naive) for at in sorted(groups, key=lambda at: at[0])),
    )
