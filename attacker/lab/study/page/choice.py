"""Which plan to sell, decided from the figures by rules that were fixed before there were any."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from attacker.lab.spread import spread
from attacker.lab.study.page.cost import HonestCost
from attacker.lab.study.page.level import Level
from attacker.lab.study.page.theft import Offer

Costs = Mapping[tuple[str, str], HonestCost | None]
"""By plan and label mode."""
Verdict = Literal["chosen", "not decided"]
RULES = (
    "Plans are compared within a label mode: the mode is what customers buy, the plan is how it is "
    "protected.",
    "A plan is considered if its honest cost was measured and keeps every limit and, where it "
    "changes answers, an adaptive attacker was measured at every budget: a defence that was only "
    "shown to a thief who does not answer it is not known to work. An adaptive attacker who does "
    "the same as a naive one, and shares its cells, has not answered. There is nothing to answer "
    "where what is told is what the label mode tells without a defence.",
    "What counts at a budget is the accuracy of the best attacker; one that was stopped before a "
    "surrogate could be trained counts as guessing. Plans are compared seed by "
    "seed, for a seed asks the same queries and begins the same surrogate under all of them: a "
    "plan is beaten at a budget if the whole 95 % interval of the difference says that less is "
    "stolen from another one. One seed has no interval, so it neither beats nor is beaten.",
    "The plan that is left when all that are beaten at some budget have gone is recommended. If "
    "several are left, or none, or one that beat nothing while others were not measured in full, "
    "it is not decided. A plan that was not measured at a budget is not beaten there. The plan "
    "without a defence, where it beat nothing, is recommended only if each other one breaks a "
    "limit by the whole interval, or by what it refuses.",
    "A limit is broken where the whole interval lies beyond it, for latency and alarms, or the "
    "mean, for accuracy and refusals. Where an interval reaches beyond a limit it is not shown "
    "that the plan keeps it: the plan may be recommended, and the recommendation says so. A "
    "latency of one seed has no interval: it is neither broken nor shown to be kept.",
    "The limits and these rules are those of the program, the same for every study; whether they "
    "were changed after its figures were seen can be read from the program's history alone.",
)


@dataclass(frozen=True)
class Choice:
    """What is to be sold in one label mode."""

    mode: str
    verdict: Verdict
    left: tuple[Offer, ...]
    """Plans that no other has beaten; one of them where the verdict is ``chosen``."""
    beaten: tuple[tuple[Offer, int, Offer], ...]
    """Plans with the largest budget at which they are beaten, and by whom."""
    refused: tuple[tuple[Offer, str], ...]
    """Plans that were not considered, and why."""
    leader: Offer | None
    """The one of ``left`` with the least stolen at the largest budget, on average."""
    undefended: Offer | None
    """What the mode leaks without a defence, for comparison."""

    @property
    def chosen(self) -> Offer | None:
        """The recommended plan, if it is decided."""
        return self.leader if self.verdict == "chosen" else None


def choices(offers: Sequence[Offer], costs: Costs) -> tuple[Choice, ...]:
    """Return a choice for every label mode, in the order of ``offers``."""
    modes = dict.fromkeys(offer.mode for offer in offers)
    return tuple(_choose(mode, [o for o in offers if o.mode == mode], costs) for mode in modes)


def _choose(mode: str, offers: Sequence[Offer], costs: Costs) -> Choice:
    refused = [(o, why) for o in offers if (why := objection(o, _of(costs, o)))]
    out = {offer.plan for offer, _ in refused}
    over = {o.plan for o in offers if o.plan in out and not unmeasured(o, _of(costs, o))}
    running = [offer for offer in offers if offer.plan not in out]
    beaten = [(o, *defeat) for o in running if (defeat := _defeat(o, running)) is not None]
    gone = {offer.plan for offer, _, _ in beaten}
    left = tuple(offer for offer in running if offer.plan not in gone)
    alone = over == out != set() and all(_concedes(offer, left, costs) for offer, _ in refused)
    return Choice(
        mode=mode,
        verdict="chosen" if len(left) == 1 and (beaten or alone) else "not decided",
        left=left,
        beaten=tuple(beaten),
        refused=tuple(refused),
        leader=least_stolen(left),
        undefended=next((offer for offer in offers if not offer.defended), None),
    )


def _concedes(refused: Offer, left: Sequence[Offer], costs: Costs) -> bool:
    """Return whether ``refused`` leaves the field to ``left``.

    A mean alone may be noise, and noise is no reason to sell a plan without a defence.
    """
    cost = _of(costs, refused)
    return any(one.defended for one in left) or (cost is not None and cost.surely_over())


def _of(costs: Costs, offer: Offer) -> HonestCost | None:
    return costs.get((offer.plan, offer.mode))


def objection(offer: Offer, cost: HonestCost | None) -> str:
    """Return why ``offer`` cannot be recommended; empty if it can."""
    return unmeasured(offer, cost) or "; ".join([] if cost is None else cost.over())


def unmeasured(offer: Offer, cost: HonestCost | None) -> str:
    """Return what would have to be measured before ``offer`` is judged; empty if nothing."""
    if cost is None:
        return "what it costs honest users was not measured"
    if offer.answerable and not offer.adaptive:
        return "no attacker who answers it was measured at every budget"
    return ""


def apart(less: Level, more: Level) -> bool:
    """Return whether ``less`` is less over the seeds of both, by the interval of the difference."""
    seeds = sorted(less.by_seed.keys() & more.by_seed.keys())
    difference = spread([more.by_seed[seed] - less.by_seed[seed] for seed in seeds])
    return difference is not None and difference.low is not None and difference.low > 0


def _defeat(offer: Offer, rivals: Sequence[Offer]) -> tuple[int, Offer] | None:
    """Return the largest budget at which ``offer`` is beaten, and who beats it by most there."""
    for own in reversed(offer.leaders):
        found = [
            (best.accuracy.mean, rival)
            for rival in rivals
            if (best := rival.best(own.budget)) is not None and apart(best, own)
        ]
        if found:
            return own.budget, min(found, key=lambda item: item[0])[1]
    return None


def least_stolen(offers: Sequence[Offer]) -> Offer | None:
    """Return the offer that loses least at the largest budget that all have, on average."""
    common = set.intersection(*(set(offer.budgets) for offer in offers)) if offers else set()
    if not common:
        return None

    def stolen(offer: Offer) -> float:
        level = offer.best(max(common))
        return 1.0 if level is None else level.accuracy.mean

    return min(offers, key=stolen)
