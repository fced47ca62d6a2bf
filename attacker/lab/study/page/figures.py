"""Figures of the page: theft against budget, and theft against what honest users pay."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attacker.lab.report.figures import End, end_labels
from attacker.lab.report.svg import INK, MUTED, SERIES, SURFACE, WIDTH_IN, series
from attacker.lab.report.words import percent, short
from attacker.lab.spread import Spread
from attacker.lab.study.page.cost import Measure, front
from attacker.lab.study.page.level import Level
from attacker.lab.study.page.theft import Offer

_LABEL = 26
_GAP = 0.058
_LETTER, _LINE, _DOT, _ROUNDS = 0.0105, 0.033, 0.02, 200
"""Width of a letter, half a line and the distance of a name in fractions of a panel."""
_DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)))
AXES: Mapping[Measure, str] = {
    "lost": "accuracy that honest users lose",
    "l1": "mean distance (L1) of an answer to the undefended one",
    "ece": "calibration error (ECE) that is added",
}


@dataclass(frozen=True)
class Point:
    """One plan between its theft and one of its costs."""

    offer: Offer
    cost: Spread
    stolen: Spread
    on_front: bool

    @property
    def label(self) -> str:
        """How it is called."""
        return self.offer.label


def theft_plot(offers: Sequence[Offer], victim: float, chance: float) -> Figure:
    """Draw what the best attacker of each budget got under every plan of one label mode."""
    figure = Figure(figsize=(WIDTH_IN, max(3.5, 0.27 * (len(offers) + 2))))
    left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.72})
    _panel(left, offers, "accuracy", chance, [(victim, f"the victim {percent(victim)}", INK)])
    left.axhline(victim, color=INK, linewidth=1.1, linestyle=(0, (5, 3)))
    left.set_title("Stolen accuracy", color=INK)
    _panel(right, offers, "fidelity", chance, [])
    right.set_title("Fidelity: agreement with the victim", color=INK)
    right.tick_params(labelleft=True)
    return figure


def _panel(
    axes: Axes,
    offers: Sequence[Offer],
    measure: Literal["accuracy", "fidelity"],
    chance: float,
    ends: list[End],
) -> None:
    axes.axhline(chance, color=MUTED, linewidth=1, linestyle=(0, (1, 2.5)))
    ends = [*ends, (chance, "chance", MUTED)]
    budgets = sorted({budget for offer in offers for budget in offer.budgets})
    for index, offer in enumerate(offers):
        line = [(best.budget, _of(best, measure)) for best in offer.leaders]
        _line(axes, line, index)
        ends.append((line[-1][1].mean, short(offer.label, _LABEL), series(index)))
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
    if len(budgets) > 1:
        axes.set_xscale("log")
    axes.set_xticks(budgets)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.minorticks_off()
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("budget in clips")
    end_labels(axes, ends, gap=_GAP)


def _of(level: Level, measure: Literal["accuracy", "fidelity"]) -> Spread:
    return level.accuracy if measure == "accuracy" else level.fidelity


def _line(axes: Axes, line: Sequence[tuple[int, Spread]], index: int) -> None:
    color = series(index)
    x = [budget for budget, _ in line]
    ends = [found.interval or (found.mean, found.mean) for _, found in line]
    low, high = [one for one, _ in ends], [one for _, one in ends]
    if len(x) > 1:
        axes.fill_between(x, low, high, color=color, alpha=0.1, linewidth=0)
    axes.vlines(x, low, high, color=color, linewidth=3, alpha=0.3)
    axes.plot(
        x, [found.mean for _, found in line], "o", color=color, markeredgecolor=SURFACE,
        linestyle=_DASHES[index // len(SERIES) % len(_DASHES)], zorder=4,
    )  # fmt: skip


def points(
    offers: Sequence[Offer], costs: Mapping[tuple[str, str], Any], measure: Measure, budget: int
) -> list[Point]:
    """Return the plans of which theft at ``budget`` and the cost ``measure`` are both known."""
    found = []
    for offer in offers:
        cost = costs.get((offer.plan, offer.mode))
        paid = None if cost is None else cost.measure(measure)
        level = offer.best(budget)
        if paid is not None and level is not None:
            found.append((offer, paid, level.accuracy))
    kept = front([(paid.mean, stolen.mean) for _, paid, stolen in found])
    return [Point(*one, on_front=on) for one, on in zip(found, kept, strict=True)]


def pareto_plot(panels: Sequence[tuple[Measure, Sequence[Point]]], victim: float) -> Figure:
    """Draw theft against each cost; a plan that another one beats in both is hollow."""
    most = max(len(found) for _, found in panels)
    figure = Figure(figsize=(WIDTH_IN, max(3.3, 0.25 * (most + 2)) * len(panels)))
    for axes, (measure, found) in zip(
        figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"hspace": 0.52})[:, 0],
        panels,
        strict=True,
    ):
        _pareto_panel(axes, measure, found, victim)
    return figure


def _pareto_panel(axes: Axes, measure: Measure, found: Sequence[Point], victim: float) -> None:
    kept = sorted((p.cost.mean, p.stolen.mean) for p in found if p.on_front)
    axes.plot(*zip(*kept, strict=True), color=series(0), linewidth=1.2, alpha=0.6, zorder=2)
    axes.axhline(victim, color=INK, linewidth=1.1, linestyle=(0, (5, 3)))
    for point in found:
        _point(axes, point)
    axes.margins(x=0.06)
    axes.set_ylim(0, min(1.03, max(victim, *(p.stolen.mean for p in found)) + 0.12))
    if measure == "lost":
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
    unit = ", in points" if measure == "lost" else ""
    axes.set_xlabel(AXES[measure] + unit)
    axes.set_title("Stolen accuracy, against the " + AXES[measure], color=INK)
    _labels(axes, found, victim)


def _point(axes: Axes, point: Point) -> None:
    color = series(0) if point.on_front else MUTED
    x, y = point.cost.mean, point.stolen.mean
    if (ends := point.stolen.interval) is not None:
        axes.vlines(x, *ends, color=color, linewidth=3, alpha=0.22, zorder=1)
    face = color if point.on_front else SURFACE
    axes.plot(x, y, "o", markerfacecolor=face, markeredgecolor=color, zorder=5)


def _labels(axes: Axes, found: Sequence[Point], victim: float) -> None:
    """Write each name beside its point; where two would overlap, they are moved apart."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    ordered = sorted(found, key=lambda point: (point.stolen.mean, point.cost.mean))
    spots = [
        ((p.cost.mean - left) / (right - left), (p.stolen.mean - bottom) / (top - bottom))
        for p in ordered
    ]
    names = [short(point.label, _LABEL) for point in ordered]
    spans = [_span(x, len(name)) for (x, _), name in zip(spots, names, strict=True)]
    heights = spread_heights([y for _, y in spots], spans)
    across = "axes fraction"
    for point, name, (x, y), span, height in zip(
        ordered, names, spots, spans, heights, strict=True
    ):
        near = min(span, key=lambda end: abs(end - x))
        color = INK if point.on_front else MUTED
        axes.annotate(
            name, xy=(near, height), xycoords=across, color=color, va="center", fontsize=8.5,
            ha="left" if near == span[0] else "right",
        )  # fmt: skip
        if abs(height - y) > _LINE / 2:
            line = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
            axes.annotate(
                "", xy=(x, y), xycoords=across, xytext=(near, height), textcoords=across,
                arrowprops=line,
            )  # fmt: skip
    axes.text(
        1.0, victim, f"the victim {percent(victim)}", transform=axes.get_yaxis_transform(),
        color=INK, va="bottom", ha="right", fontsize=8,
    )  # fmt: skip


def _span(x: float, letters: int) -> tuple[float, float]:
    """Return where a name of so many letters begins and ends beside ``x``."""
    width = _LETTER * letters
    start = x + _DOT if x + _DOT + width < 1 else x - _DOT - width
    return start, start + width


def spread_heights(
    heights: Sequence[float], spans: Sequence[tuple[float, float]], gap: float = 2 * _LINE
) -> list[float]:
    """Return ascending ``heights`` moved until names whose spans overlap are ``gap`` apart.

    All are fractions of the panel. The order of names that overlap is kept.
    """
    found = list(heights)
    for _ in range(_ROUNDS):
        moved = False
        for low, high in itertools.combinations(range(len(found)), 2):
            overlap = spans[low][0] < spans[high][1] and spans[high][0] < spans[low][1]
            lack = gap - (found[high] - found[low])
            if overlap and lack > gap / 100:
                found[low] -= lack / 2
                found[high] += lack / 2
                moved = True
        found = [min(max(height, gap / 2), 1 - gap / 2) for height in found]
        if not moved:
            break
    return found
