"""The page's sentences: what to sell, what is not decided, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from attacker.lab.report.words import NBSP, count, percent
from attacker.lab.study.page.blocks import Tone, names, told
from attacker.lab.study.page.choice import Choice, Costs, least_stolen
from attacker.lab.study.page.cost import HonestCost
from attacker.lab.study.page.level import Level
from attacker.lab.study.page.reach import Reach
from attacker.lab.study.page.theft import Offer

_SEEDS = 3
"""With fewer, an interval is so wide that it decides next to nothing."""


@dataclass(frozen=True)
class Advice:
    """What the page says of one label mode."""

    title: str
    verdict: str
    tone: Tone
    lines: tuple[str, ...]


def headline(choices: Sequence[Choice], costs: Costs) -> str:
    """Say in one sentence what to sell in every label mode."""
    chosen = [one for one in choices if one.chosen is not None]
    undecided = [one.mode for one in choices if one.chosen is None]
    parts = [f"sell {one.mode} answers under {one.chosen.label}" for one in chosen if one.chosen]
    unshown = any(_unshown(one.chosen, costs) for one in chosen if one.chosen)
    if undecided and not chosen:
        return f"Not decided: no plan is shown to be the best for {names(undecided)} answers."
    if undecided:
        parts.append(f"for {names(undecided)} answers it is not decided")
    if unshown:
        parts.append("not all of what that costs honest users is shown")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def advice(choice: Choice, costs: Costs) -> Advice:
    """Say what to do in one label mode, and on which figures that rests."""
    chosen = choice.chosen
    lines = _undecided(choice) if chosen is None else _chosen(choice, chosen, costs)
    lines += [f"{offer.label} was not considered: {why}." for offer, why in choice.refused]
    shown = chosen is not None and not _unshown(chosen, costs)
    verdict: str = choice.verdict
    if chosen is not None:
        verdict = f"sell {chosen.label}" + ("" if shown else ", if its cost is borne out")
    return Advice(
        title=f"{choice.mode} answers",
        verdict=verdict,
        tone="holds" if shown else "not-decided",
        lines=tuple(lines),
    )


def _unshown(offer: Offer, costs: Costs) -> list[str]:
    cost = costs.get((offer.plan, offer.mode))
    return [] if cost is None else cost.unshown()


def _chosen(choice: Choice, offer: Offer, costs: Costs) -> list[str]:
    lines = [_stolen(offer, against=choice.undefended)]
    if (cost := costs.get((offer.plan, offer.mode))) is not None:
        lines.append(f"What honest users pay for it: {cost_words(cost)}.")
    lines += [
        f"Not shown: {what}. Measure more honest traffic, on a machine that does nothing else, "
        "before you rely on it."
        for what in _unshown(offer, costs)
    ]
    lines += _beaten(choice)
    if not choice.beaten:
        lines.append(
            "Nothing was compared with it: every other plan costs honest users more than the "
            "limits allow."
        )
    if not offer.defended:
        lines.append("It is the plan without a defence: what was tried does not pay for itself.")
    return lines


def _undecided(choice: Choice) -> list[str]:
    if not choice.left and not choice.beaten:
        leader = least_stolen([offer for offer, _ in choice.refused])
        hint = "" if leader is None else f" On averages alone, {_stolen(leader)}"
        return [f"No plan can be recommended, for none could be considered.{hint}"]
    if not choice.left:
        opening = "Another plan is best at each budget, so none is best at all of them."
        return [opening, *_beaten(choice)]
    if len(choice.left) == 1:
        lone = choice.left[0].label
        return [
            f"Only {lone} could be considered, so there is nothing to compare it with. Measure "
            "other plans in full, and honest traffic with more seeds, and make this page again."
        ]
    lines = [
        f"Nothing tells {names([offer.label for offer in choice.left])} apart: at every budget "
        "that they share, seed by seed, the 95 % intervals of the differences hold 0."
    ]
    if choice.leader is not None:
        lines.append(f"On averages alone, which decide nothing: {_stolen(choice.leader)}")
    if any(level.accuracy.n < _SEEDS for offer in choice.left for level in offer.levels):
        lines.append(
            "Some figures have fewer than three seeds, and intervals are wide for want of them: "
            "run these plans with more seeds to decide."
        )
    return lines + _beaten(choice)


def _beaten(choice: Choice) -> list[str]:
    groups: dict[tuple[int, str], list[str]] = {}
    for loser, budget, winner in choice.beaten:
        groups.setdefault((budget, winner.label), []).append(loser.label)
    return [
        f"At {count(budget, 'clip')} {winner} loses less than {names(losers)}, by the whole "
        "interval of the difference."
        for (budget, winner), losers in groups.items()
    ]


def _stolen(offer: Offer, against: Offer | None = None) -> str:
    best = offer.leaders[-1]
    budget = best.budget
    text = (
        f"{offer.label}: {_for_clips(best)} the best attacker ({best.attacker}, {best.kind}) "
        f"reaches {told(best.accuracy)} accuracy"
    )
    bare = None if against is None or against.plan == offer.plan else against.best(budget)
    if bare is not None and against is not None:
        differs = bare.fell_short or best.fell_short
        spent = f" ({bare.bought:,.0f} bought)" if differs else ""
        text += f", and {told(bare.accuracy)} under {against.label}{spent}"
    stopped = "".join(
        f" ({level.attacker}: {level.stopped_words})"
        for level in offer.levels
        if level.stopped and level.budget == budget
    )
    return f"{text}{stopped}."


def _for_clips(level: Level) -> str:
    """Say for how many clips: a plan may sell fewer than the thief would buy."""
    clips = count(level.budget, "clip")
    if not level.fell_short:
        return f"for {clips}"
    return f"with a budget of {clips} ({level.bought:,.0f} bought)"


def cost_words(cost: HonestCost) -> str:
    """Return what honest users pay, in words."""
    parts = []
    if cost.lost is not None:
        parts.append(f"{100 * cost.lost.mean:.1f} points of accuracy")
    if cost.l1 is not None:
        parts.append(f"answers moved by {cost.l1.mean:.3f} (L1)")
    if cost.ece is not None:
        parts.append(f"{cost.ece.mean:+.3f} calibration error")
    if cost.added_p50_ms is not None:
        parts.append(f"{cost.added_p50_ms.mean:+.1f} ms")
    parts.append(f"{percent(cost.refused)} of clips refused")
    if cost.alarms is not None:
        parts.append(f"{100 * cost.alarms.share:.2f} % of windows alarmed")
    return ", ".join(parts)


def reach_words(reach: Reach, *, money: bool) -> str:
    """Return the queries, or the money, to reach a share of the victim."""
    sign = {"at": "", "by": "≤ ", "beyond": "> "}[reach.kind].replace(" ", NBSP)
    return f"{sign}{reach.money:,.2f}" if money else f"{sign}{reach.queries:,.0f}"
