"""What was stolen under each plan, and what it cost the thief."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from attacker.lab.spread import Spread, clipped, spread
from attacker.lab.study.manifest import Manifest
from attacker.lab.study.read import CellRow, StudyTables

SHARES = (0.50, 0.80, 0.95)
"""Shares of the victim's accuracy whose price is asked for."""
POLICIES = ("detectors", "ladder", "daily_budget", "price_tiers", "leakage_price", "speaker_cap")
"""Fields of a plan that defend without a chain."""


@dataclass(frozen=True)
class Level:
    """What one attacker got for one budget, over seeds."""

    budget: int
    attacker: str
    adaptive: bool
    accuracy: Spread
    by_seed: Mapping[int, float]
    """Accuracy by seed."""
    fidelity: Spread | None
    bought: float
    """Mean number of clips that were answered: a campaign may end before its budget does."""
    money: float
    """Mean money that they cost."""


@dataclass(frozen=True)
class Offer:
    """A plan in one label mode: what an operator can sell."""

    plan: str
    mode: str
    label: str
    kinds: tuple[str, ...]
    """Kinds of its defences, in order; none is the undefended victim."""
    price: float
    document: dict[str, Any] | None
    """The victim's plan as it was sold; None where it is not known."""
    sold_as: str | None
    levels: tuple[Level, ...]

    @property
    def defended(self) -> bool:
        """Whether there is anything in it that an adaptive attacker would answer."""
        return bool(self.kinds) or any((self.document or {}).get(name) for name in POLICIES)

    @property
    def adaptive(self) -> bool:
        """Whether an attacker who knows of the plan was measured at every budget."""
        known = {level.budget for level in self.levels if level.adaptive}
        return bool(known) and known == set(self.budgets)

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets that were measured, ascending."""
        return tuple(sorted({level.budget for level in self.levels}))

    def best(self, budget: int) -> Level | None:
        """Return what the best attacker got for ``budget``: the one with the highest accuracy."""
        own = [level for level in self.levels if level.budget == budget]
        return max(own, key=lambda one: (one.accuracy.mean, one.adaptive), default=None)


@dataclass(frozen=True)
class Reach:
    """After how many queries, and for how much, a share of the victim was reached."""

    kind: Literal["at", "by", "beyond"]
    """``at``: between two budgets; ``by``: at the smallest budget already; ``beyond``: above the
    largest one."""
    queries: float
    money: float


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
    found = [_level(own) for _, own in sorted(groups.items(), key=lambda item: item[0][0])]
    return Offer(
        plan=plan,
        mode=mode,
        label=manifest.labels("plans").get(plan, plan),
        kinds=rows[0].kinds(),
        price=rows[0].price_per_clip,
        document=manifest.document(plan, mode),
        sold_as=manifest.sold_as.get(place),
        levels=tuple(one for one in found if one is not None),
    )


def _level(rows: Sequence[CellRow]) -> Level | None:
    by_seed = {row.seed: row.accuracy for row in rows if row.accuracy is not None}
    accuracy = spread(list(by_seed.values()))
    fidelity = spread([row.fidelity for row in rows if row.fidelity is not None])
    if accuracy is None:
        return None
    return Level(
        budget=rows[0].budget,
        attacker=rows[0].attacker,
        adaptive=rows[0].adaptive,
        accuracy=clipped(accuracy),
        by_seed=by_seed,
        fidelity=None if fidelity is None else clipped(fidelity),
        bought=sum(row.bought for row in rows) / len(rows),
        money=sum(row.spent_money for row in rows) / len(rows),
    )


def reach(offer: Offer, accuracy: float) -> Reach | None:
    """Return where the best attacker of each budget first has ``accuracy``, a share, on average.

    Between two budgets that bracket it the place is found on the straight line; nothing is said
    beyond the largest budget, nor below the smallest. None where nothing was measured.
    """
    best = [level for budget in offer.budgets if (level := offer.best(budget)) is not None]
    if not best:
        return None
    if best[0].accuracy.mean >= accuracy:
        return Reach("by", best[0].bought, best[0].money)
    for before, after in itertools.pairwise(best):
        if after.accuracy.mean >= accuracy:
            part = (accuracy - before.accuracy.mean) / (after.accuracy.mean - before.accuracy.mean)
            return Reach(
                "at",
                before.bought + part * (after.bought - before.bought),
                before.money + part * (after.money - before.money),
            )
    return Reach("beyond", best[-1].bought, best[-1].money)
