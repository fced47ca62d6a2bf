"""The page's sections about the thief: what was stolen, and what it cost him."""

from collections.abc import Iterable, Sequence

from attacker.lab.report import svg
from attacker.lab.report.builder import Plate
from attacker.lab.report.words import NBSP, count, percent
from attacker.lab.study.page import figures, words
from attacker.lab.study.page.blocks import DASH, Cell, Section, Table, names, share
from attacker.lab.study.page.level import Level
from attacker.lab.study.page.reach import SHARES, reach
from attacker.lab.study.page.sections import Figures
from attacker.lab.study.page.theft import Offer


def theft(found: Figures) -> Section:
    """Return what was stolen for every budget, a table and a figure for each label mode."""
    modes = list(dict.fromkeys(offer.mode for offer in found.offers))
    return Section(
        "theft",
        "What was stolen, by budget",
        lead=(
            *_missing(found),
            f"Accuracy of the copy on the victim's unseen test clips (the victim itself: "
            f"{percent(found.victim)}; guessing: {percent(found.chance)}), and how often it gives "
            "the victim's own answer. Means over seeds with Student's 95 % intervals. The best "
            "attacker of a plan at a budget is marked ●: that is what counts.",
        ),
        plates=tuple(_theft_plate(found, mode) for mode in modes),
        tables=tuple(_theft_table(mode, found.of_mode(mode)) for mode in modes),
        notes=tuple(_theft_notes(found)),
    )


def _missing(found: Figures) -> list[str]:
    """Say which cells the page knows nothing of: it is about the others alone."""
    missing, rows = found.tables.missing, len(found.tables.cells)
    if not missing:
        return []
    return [
        f"Incomplete: {len(missing):,} of this study's {rows + len(missing):,} cells have no row, "
        f"{names(missing)}. All that is said here rests on the others. Run the study again, which "
        "finishes them and pays nothing twice, and make this page again."
    ]


def _theft_plate(found: Figures, mode: str) -> Plate:
    own = found.of_mode(mode)
    ends = [f"{offer.label} {percent(offer.leaders[-1].accuracy.mean)}" for offer in own]
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
            chain = " → ".join(offer.kinds) or "no chain"
            first = Cell(offer.label, chain) if place == 0 else Cell("")
            rows.append(
                (first, Cell(attacker, _who(levels)), *_level_cells(offer, levels, budgets))
            )
    return Table(tuple(heads), tuple(rows), left=2, title=f"{mode} answers")


def _who(levels: Sequence[Level]) -> str:
    """Say whether the attacker answers the plan; one that shares a naive one's cells does not."""
    shared = {level.same_as for level in levels}
    if len(shared) > 1:
        return f"{levels[0].kind}, but for some budgets the same as a naive one"
    (name,) = shared
    return levels[0].kind if name is None else f"{levels[0].kind}, the same as {name}"


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
        where = f"{offer.label} ({offer.mode})"
        if offer.defended and not offer.answerable:
            notes.append(
                f"{where}: what is told is what {offer.mode} answers tell without a defence, so "
                "there is nothing that an adaptive attacker could answer."
            )
        elif offer.answerable and not offer.adaptive:
            notes.append(
                f"{where}: no attacker who answers it was measured at every budget, so what is "
                "shown is the least that can be stolen."
            )
        notes += [
            f"{where}, {level.attacker} at {count(level.budget, 'clip')}: {level.stopped_words}."
            for level in offer.levels
            if level.stopped
        ]
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
