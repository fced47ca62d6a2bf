"""The figures of a study, and the page's section about what honest users pay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attacker.lab.report import svg
from attacker.lab.report.builder import Plate
from attacker.lab.report.words import percent
from attacker.lab.spread import Spread
from attacker.lab.study.page import figures
from attacker.lab.study.page.blocks import DASH, Cell, Section, Table, Tone, number, share
from attacker.lab.study.page.choice import Choice, Costs, choices
from attacker.lab.study.page.cost import Measure, honest_cost
from attacker.lab.study.page.theft import Offer, offers
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
            "there is no front, and no plan can be recommended. Run `earshot-attacker honest` with "
            "--study and this study's folder, and make this page again.",
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
        unshown = paid.unshown()
        tone: Tone = "does-not-hold" if over else "not-decided" if unshown else "holds"
        word = "over" if over else "not shown" if unshown else "kept"
        lost = None if paid.lost is None else _points_of(paid.lost)
        rows.append(
            (
                Cell(offer.label), share(best.accuracy),
                number(lost, ".2f"), number(paid.l1, ".3f"), number(paid.ece, "+.3f"),
                number(paid.added_p50_ms, "+.2f"),
                Cell(percent(paid.refused)),
                Cell(", ".join(_SHORT[m] for m in fronts) or DASH, strong=bool(fronts)),
                Cell(word, "; ".join(over or unshown), tone=tone),
            )
        )  # fmt: skip
    return Table(heads, tuple(rows), title=f"{mode} answers")


_SHORT: dict[Measure, str] = {"lost": "accuracy", "l1": "L1", "ece": "ECE"}


def _points_of(found: Spread) -> Spread:
    scaled = {n: None if (v := getattr(found, n)) is None else 100 * v for n in ("low", "high")}
    return found.model_copy(update={"mean": 100 * found.mean, **scaled})
