"""The page's sections, from the figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from attacker.lab.report import svg
from attacker.lab.report.builder import Plate
from attacker.lab.report.words import NBSP, percent
from attacker.lab.spread import Spread
from attacker.lab.study.page import figures, words
from attacker.lab.study.page.blocks import DASH, Cell, Section, Table, Tone, number, share
from attacker.lab.study.page.choice import Choice, Costs, choices
from attacker.lab.study.page.cost import Measure, honest_cost
from attacker.lab.study.page.theft import SHARES, Level, Offer, offers, reach
from attacker.lab.study.read import StudyTables

Panels = Mapping[Measure, Sequence[figures.Point]]
MEASURES: tuple[Measure, ...] = ("lost", "l1", "ece")


@dataclass(frozen=True)
class Figures:
    """Everything that sections are written from."""

    tables: StudyTables
    offers: tuple[Offer, ...]
    costs: Costs
    choices: tuple[Choice, ...]
    victim: float
    """The victim's accuracy on its test clips."""
    chance: float

    def of_mode(self, mode: str) -> list[Offer]:
        """Return the plans that are sold in one label mode."""
        return [offer for offer in self.offers if offer.mode == mode]

    @property
    def largest(self) -> int:
        """The largest budget."""
        return max(row.budget for row in self.tables.cells)


def measure(tables: StudyTables) -> Figures:
    """Return the figures of a study."""
    found = offers(tables)
    costs = {(o.plan, o.mode): honest_cost(o, tables.honest) for o in found}
    rows = tables.cells
    return Figures(
        tables=tables,
        offers=found,
        costs=costs,
        choices=choices(found, costs),
        victim=sum(row.victim_accuracy for row in rows) / len(rows),
        chance=sum(row.chance for row in rows) / len(rows),
    )


def theft(found: Figures) -> Section:
    """Return what was stolen for every budget, a table and a figure for each label mode."""
    modes = list(dict.fromkeys(offer.mode for offer in found.offers))
    return Section(
        "theft",
        "What was stolen, by budget",
        lead=(
            f"Accuracy of the copy on the victim's unseen test clips (the victim itself: "
            f"{percent(found.victim)}; guessing: {percent(found.chance)}), and how often it gives "
            "the victim's own answer. Means over seeds with Student's 95 % intervals. The best "
            "attacker of a plan at a budget is marked ●: that is what counts.",
        ),
        plates=tuple(plate for mode in modes if (plate := _theft_plate(found, mode)) is not None),
        tables=tuple(_theft_table(mode, found.of_mode(mode)) for mode in modes),
        notes=tuple(_theft_notes(found)),
    )


def _theft_plate(found: Figures, mode: str) -> Plate | None:
    own = [offer for offer in found.of_mode(mode) if offer.levels]
    if not own:
        return None
    ends = [
        f"{offer.label} {percent(best.accuracy.mean)}"
        for offer in own
        if (best := offer.best(offer.budgets[-1])) is not None
    ]
    with svg.drawing():
        drawn = svg.to_svg(
            figures.theft_plot(own, found.victim, found.chance),
            alt=f"{mode} answers: stolen accuracy and fidelity by budget; in the end "
            + "; ".join(ends),
        )
    return Plate(
        drawn,
        f"{mode} answers: the best attacker under each plan. Bars and bands are 95 % intervals "
        "over seeds. A lower line loses less to the thief.",
    )


def _theft_table(mode: str, own: Sequence[Offer]) -> Table:
    budgets = sorted({budget for offer in own for budget in offer.budgets})
    heads = ["Plan", "Attacker"]
    for budget in budgets:
        heads += [f"accuracy, {budget:,}", f"fidelity, {budget:,}"]
    rows = []
    for offer in own:
        attackers = dict.fromkeys(level.attacker for level in offer.levels)
        for place, attacker in enumerate(attackers):
            levels = [level for level in offer.levels if level.attacker == attacker]
            who = "adaptive" if levels[0].adaptive else "naive"
            chain = " → ".join(offer.kinds) or "no chain"
            first = Cell(offer.label, chain) if place == 0 else Cell("")
            rows.append((first, Cell(attacker, who), *_level_cells(offer, levels, budgets)))
    return Table(tuple(heads), tuple(rows), left=2, title=f"{mode} answers")


def _level_cells(offer: Offer, levels: Iterable[Level], budgets: Sequence[int]) -> list[Cell]:
    by_budget = {level.budget: level for level in levels}
    cells: list[Cell] = []
    for budget in budgets:
        level = by_budget.get(budget)
        if level is None:
            cells += [Cell(DASH), Cell(DASH)]
            continue
        best = level == offer.best(budget)
        found = share(level.accuracy, strong=best)
        marked = f"●{NBSP}{found.text}" if best else found.text
        cells += [Cell(marked, found.small, strong=best), share(level.fidelity)]
    return cells


def _theft_notes(found: Figures) -> list[str]:
    notes = []
    for offer in found.offers:
        if offer.defended and offer.levels and not offer.adaptive:
            notes.append(
                f"{offer.label} ({offer.mode}): no adaptive attacker was measured at every budget, "
                "so what is shown is the least that can be stolen."
            )
    lost = sum(row.accuracy is None for row in found.tables.cells)
    if lost:
        notes.append(f"{lost:,} of {len(found.tables.cells):,} cells have no surrogate: left out.")
    return notes


def price(found: Figures) -> Section:
    """Return the queries and the money to reach parts of the victim."""
    heads = ["Plan", "Label mode", "price of a clip"]
    for part in SHARES:
        heads += [f"clips to {part:.0%}", f"money to {part:.0%}"]
    rows = []
    for offer in found.offers:
        cells = [Cell(offer.label), Cell(offer.mode), Cell(f"{offer.price:g}")]
        for part in SHARES:
            place = reach(offer, part * found.victim)
            cells += [Cell(words.reach_words(place, money=False))]
            cells += [Cell(words.reach_words(place, money=True))]
        rows.append(tuple(cells))
    goals = ", ".join(f"{part:.0%} is {percent(part * found.victim)}" for part in SHARES)
    return Section(
        "price",
        "What the thief pays",
        lead=(
            f"Clips, and money at the plan's price, until the best attacker's copy has 50, 80 and "
            f"95 % of the victim's accuracy ({goals}), on average over seeds.",
        ),
        tables=(Table(tuple(heads), tuple(rows), left=2),),
        notes=(
            "Between two budgets that bracket the goal, the place is found on the straight line "
            "between them. “≤” means that the smallest budget was enough, “>” that the largest was "
            "not: nothing is guessed beyond what was measured.",
        ),
    )


def cost(found: Figures) -> Section:
    """Return the front of theft against honest cost, and the table behind it."""
    modes = list(dict.fromkeys(offer.mode for offer in found.offers))
    panels = {mode: _panels(found, mode) for mode in modes}
    return Section(
        "cost",
        "Theft against what honest users pay",
        lead=_cost_lead(found),
        plates=tuple(_cost_plate(found, mode, own) for mode, own in panels.items() if own),
        tables=tuple(_cost_table(found, mode, own) for mode, own in panels.items() if own),
    )


def _panels(found: Figures, mode: str) -> Panels:
    own, budget = found.of_mode(mode), found.largest
    panels = {m: figures.points(own, found.costs, m, budget) for m in MEASURES}
    return {m: points for m, points in panels.items() if points}


def _cost_plate(found: Figures, mode: str, panels: Panels) -> Plate:
    on = [
        f"{p.label} for {figures.AXES[m]}" for m, pts in panels.items() for p in pts if p.on_front
    ]
    with svg.drawing():
        drawn = svg.to_svg(
            figures.pareto_plot(list(panels.items()), found.victim),
            alt=f"{mode} answers, theft against cost; on the front are " + "; ".join(on),
        )
    return Plate(
        drawn,
        f"{mode} answers. Further down, less is stolen (the best attacker, {found.largest:,} "
        "clips); further left, honest users pay less. Filled points are the front: no other plan "
        "is as good in both and better in one, on averages. Bars are 95 % intervals over seeds.",
    )


def _cost_lead(found: Figures) -> tuple[str, ...]:
    if found.tables.honest is None:
        return (
            "What the plans cost honest users was not measured (there is no honest.parquet), so "
            "there is no front, and no plan can be recommended. Run `earshot-attacker honest` "
            "against the study's plans, and make this page again.",
        )
    unknown = [f"{o.label} ({o.mode})" for o in found.offers if not found.costs[o.plan, o.mode]]
    lead = [
        "Figures are those of the user profile that loses most under a plan, against the "
        "undefended answers to the same clips."
    ]
    rows = {row.plan for row in found.tables.honest}
    several = [o for o in found.offers if o.plan in rows and o.sold_as not in rows]
    if len({o.plan for o in several}) < len(several):
        lead.append(
            "A plan's honest traffic was measured in one label mode, and stands here for all of "
            "its modes."
        )
    if unknown:
        lead.append("Not measured: " + ", ".join(unknown) + ".")
    return tuple(lead)


def _cost_table(found: Figures, mode: str, panels: Panels) -> Table:
    heads = ("Plan", "stolen", "accuracy lost, points", "L1", "ECE added",
             "p50 added, ms", "refused", "on the front of", "limits")  # fmt: skip
    rows = []
    for offer in found.of_mode(mode):
        paid, best = found.costs[offer.plan, offer.mode], offer.best(found.largest)
        if paid is None or best is None:
            continue
        fronts = [m for m, pts in panels.items() for p in pts if p.offer is offer and p.on_front]
        over = paid.over()
        tone: Tone = "does-not-hold" if over else "holds"
        lost = None if paid.lost is None else _points_of(paid.lost)
        rows.append(
            (
                Cell(offer.label), share(best.accuracy),
                number(lost, ".2f"), number(paid.l1, ".3f"), number(paid.ece, "+.3f"),
                Cell(DASH if paid.added_p50_ms is None else f"{paid.added_p50_ms:+.2f}"),
                Cell(percent(paid.refused)),
                Cell(", ".join(_SHORT[m] for m in fronts) or DASH, strong=bool(fronts)),
                Cell("over" if over else "kept", "; ".join(over), tone=tone),
            )
        )  # fmt: skip
    return Table(heads, tuple(rows), title=f"{mode} answers")


_SHORT: dict[Measure, str] = {"lost": "accuracy", "l1": "L1", "ece": "ECE"}


def _points_of(found: Spread) -> Spread:
    scaled = {n: None if (v := getattr(found, n)) is None else 100 * v for n in ("low", "high")}
    return found.model_copy(update={"mean": 100 * found.mean, **scaled})
