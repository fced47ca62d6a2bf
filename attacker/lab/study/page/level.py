"""What one attacker got under a plan for one budget, over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attacker.lab.spread import Spread, clipped, spread
from attacker.lab.study.read import CellRow


@dataclass(frozen=True)
class Level:
    """What one attacker got for one budget, over seeds."""

    budget: int
    attacker: str
    adaptive: bool
    same_as: str | None
    """The attacker who does not answer the plan and whose cells these are, too; None if they are
    its own."""
    accuracy: Spread
    """A cell that was stopped before a surrogate could be trained counts as guessing."""
    by_seed: Mapping[int, float]
    """Accuracy by seed."""
    fidelity: Spread
    stopped: int
    """Cells that were stopped so."""
    bought: float
    """Mean number of clips that were answered: a campaign may end before its budget does."""
    money: float
    """Mean money that they cost."""

    @property
    def answers(self) -> bool:
        """Whether the attacker knows of the plan, and does something about it."""
        return self.adaptive and self.same_as is None

    @property
    def kind(self) -> str:
        """How the attacker is called: naive or adaptive."""
        return "adaptive" if self.adaptive else "naive"

    @property
    def fell_short(self) -> bool:
        """Whether less was bought than the budget allows, on average and to the clip."""
        return round(self.bought) < self.budget

    @property
    def stopped_words(self) -> str:
        """What is said of cells that were stopped; empty of none."""
        if not self.stopped:
            return ""
        return (
            f"{self.stopped} of {self.accuracy.n} cells were stopped before a surrogate could be "
            "trained: counted as guessing"
        )


def level_of(rows: Sequence[CellRow], naive: Mapping[str, str]) -> Level:
    """Return what the cells of one attacker came to; ``naive`` tells by identity who has naively
    done the same."""
    by_seed = {row.seed: row.stolen for row in rows}
    shared = [naive[row.identity] for row in rows if row.adaptive and row.identity in naive]
    return Level(
        budget=rows[0].budget,
        attacker=rows[0].attacker,
        adaptive=rows[0].adaptive,
        same_as=shared[0] if shared else None,
        accuracy=_mean(list(by_seed.values())),
        by_seed=by_seed,
        fidelity=_mean([row.agreement for row in rows]),
        stopped=sum(row.stopped for row in rows),
        bought=sum(row.bought for row in rows) / len(rows),
        money=sum(row.spent_money for row in rows) / len(rows),
    )


def _mean(shares: Sequence[float]) -> Spread:
    found = spread(shares)
    if found is None:
        raise ValueError("a mean of no cells. Report this bug.")
    return clipped(found)
