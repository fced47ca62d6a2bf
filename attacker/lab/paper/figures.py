"""Figures of the tables: each row beside the paper's, partial extraction, and caps."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attacker.lab.paper.findings import CapPoint, RowResult, TableResult
from attacker.lab.paper.lines import Line
from attacker.lab.report.figures import End, end_labels
from attacker.lab.report.svg import GRID, INK, MUTED, SURFACE, WIDTH_IN, series
from attacker.lab.report.words import percent, short
from attacker.lab.spread import Spread

_ROW_IN = 0.34


def rows_plot(table: TableResult) -> Figure:
    """Draw the accuracy of every row with its interval, and what the paper printed."""
    rows = table.rows
    figure = Figure(figsize=(WIDTH_IN, 0.75 + _ROW_IN * len(rows)))
    axes = figure.subplots()
    _references(axes, table)
    for place, row in enumerate(rows):
        axes.axhline(place, color=GRID, linewidth=0.7, zorder=0)
        found = row.figures.get("accuracy")
        if found is not None:
            _whisker(axes, found, place)
        printed = row.paper.accuracy
        if printed is not None:
            axes.plot(printed / 100, place, "D", color=SURFACE, markersize=5.5, zorder=3)
            axes.plot(
                printed / 100, place, "D", markerfacecolor="none", markeredgecolor=series(1),
                markeredgewidth=1.4, markersize=5, zorder=4,
            )  # fmt: skip
    axes.set_yticks(range(len(rows)), [short(row.label, 46) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-0.015, 1.015)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
    axes.tick_params(axis="y", labelcolor=INK)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", visible=False)
    axes.plot([], [], "o", color=series(0), label="here: mean and 95 % interval over seeds")
    axes.plot(
        [], [], "D", markerfacecolor="none", markeredgecolor=series(1), markersize=5,
        label="the paper",
    )  # fmt: skip
    _legend(axes)
    return figure


def _whisker(axes: Axes, found: Spread, place: float) -> None:
    color = series(0)
    if found.low is not None and found.high is not None:
        axes.hlines(place, found.low, found.high, color=color, linewidth=4.5, alpha=0.3, zorder=2)
    axes.plot(found.mean, place, "o", color=color, markeredgecolor=SURFACE, zorder=5)


def _references(axes: Axes, table: TableResult) -> None:
    victim = table.victim
    axes.axvline(1 / victim.labels, color=MUTED, linewidth=1, linestyle=(0, (1, 2.5)), zorder=1)
    _note(axes, 1 / victim.labels, "chance", MUTED)
    if victim.accuracy is not None:
        at = victim.accuracy.value
        axes.axvline(at, color=INK, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1)
        _note(axes, at, f"victim {percent(at)}", INK)


def _note(axes: Axes, at: float, text: str, color: str) -> None:
    axes.text(
        at, 1.0, text, transform=axes.get_xaxis_transform(), ha="center", va="bottom",
        color=color, fontsize=8.5,
    )  # fmt: skip


def _legend(axes: Axes, columns: int = 2, drop: float = -0.1) -> None:
    axes.legend(
        frameon=False, loc="upper left", bbox_to_anchor=(-0.01, drop), ncols=columns, fontsize=8.5,
        labelcolor=MUTED, handletextpad=0.3, borderaxespad=1.2,
    )  # fmt: skip


def has_layers(table: TableResult) -> bool:
    """Whether the table is one of partial extraction."""
    return any(row.source_model for row in table.rows)


def layers_plot(table: TableResult) -> Figure:
    """Draw accuracy against known layers, a curve a source task.

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", figure 1.
    """
    figure = Figure(figsize=(WIDTH_IN * 0.9, 3.9))
    axes = figure.subplots()
    names = list(dict.fromkeys(row.source_model for row in table.rows if row.source_model))
    start = next((row for row in table.rows if row.source_model is None), None)
    ends = _levels(axes, table)
    for index, name in enumerate(names):
        rows = [row for row in table.rows if row.source_model == name]
        shift = 0.05 * (index - (len(names) - 1) / 2)
        end = _layers_line(axes, start, rows, name, series(index), shift)
        ends += [end] if end is not None else []
    if start is not None and (found := start.figures.get("accuracy")) is not None:
        _bar(axes, 0, found, INK)
        axes.plot(0, found.mean, "o", color=INK, markeredgecolor=SURFACE, zorder=5)
    axes.set_xticks(sorted({row.known_layers for row in table.rows}))
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("known layers, from the input on")
    axes.set_title("Accuracy on the victim's test split", color=INK)
    end_labels(axes, [(y, f"{name} {percent(y)}", color) for y, name, color in ends], gap=0.062)
    return figure


def _levels(axes: Axes, table: TableResult) -> list[End]:
    """Draw what is got for nothing, and what there is to get; return how the lines are called."""
    chance = 1 / table.victim.labels
    axes.axhline(chance, color=MUTED, linewidth=1, linestyle=(0, (1, 2.5)))
    ends: list[End] = [(chance, "chance", MUTED)]
    if table.victim.accuracy is not None:
        axes.axhline(table.victim.accuracy.value, color=INK, linewidth=1.1, linestyle=(0, (5, 3)))
        ends.append((table.victim.accuracy.value, "the victim itself", INK))
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
    return ends


def _layers_line(
    axes: Axes,
    start: RowResult | None,
    rows: Sequence[RowResult],
    name: str,
    color: str,
    shift: float,
) -> End | None:
    known = [*([start] if start is not None else []), *rows]
    found = [(row.known_layers, one) for row in known if (one := row.figures.get("accuracy"))]
    if not found:
        return None
    x = [layers + (shift if layers else 0.0) for layers, _ in found]
    style: Any = (0, (4, 2)) if name.endswith("frozen") else "-"
    heights = [one.mean for _, one in found]
    axes.plot(x, heights, "o", color=color, markeredgecolor=SURFACE, linestyle=style, zorder=4)
    for at, (_, one) in zip(x, found, strict=True):
        if at:
            _bar(axes, at, one, color)
    return heights[-1], f"of {short(name, 20)}", color


def _bar(axes: Axes, at: float, found: Spread, color: str) -> None:
    if found.low is not None and found.high is not None:
        axes.vlines(at, found.low, found.high, color=color, linewidth=4, alpha=0.3, zorder=2)


def queries_plot(table: TableResult, lines: Sequence[Line], aim: float | None) -> Figure:
    """Draw accuracy against queries, for points that have been measured.

    ``aim`` is an accuracy to draw a line at.
    """
    figure = Figure(figsize=(WIDTH_IN * 0.9, 3.9))
    axes = figure.subplots()
    ends = _levels(axes, table)
    if aim is not None:
        axes.axhline(aim, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        ends.append((aim, "nine tenths of it", INK))
    for index, line in enumerate(lines):
        color = series(index)
        x = [point.queries for point in line.points]
        found = [point.accuracy for point in line.points if point.accuracy is not None]
        _band(axes, x, found, color, line.label)
        ends.append((found[-1].mean, short(line.id, 20), color))
    axes.set_xscale("log")
    axes.set_xticks(sorted({point.queries for line in lines for point in line.points}))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.minorticks_off()
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("queries (clips labelled by the victim), on a logarithmic scale")
    axes.set_title("Accuracy on the victim's test split", color=INK)
    end_labels(axes, [(y, f"{name} {percent(y)}", color) for y, name, color in ends], gap=0.062)
    return figure


def caps_plot(points: Sequence[CapPoint]) -> Figure:
    """Draw coverage and volume against alpha and tau, a line for each n.

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", figure 4.
    """
    kinds = list(dict.fromkeys(point.parameter for point in points))
    figure = Figure(figsize=(WIDTH_IN, 4.6))
    grid = figure.subplots(
        2, len(kinds), sharey="row", sharex="col", squeeze=False,
        gridspec_kw={"wspace": 0.3, "hspace": 0.28},
    )  # fmt: skip
    titles = {"alpha": "dynamic: alpha", "tau": "static: tau"}
    for column, kind in enumerate(kinds):
        own = [point for point in points if point.parameter == kind]
        top, bottom = grid[0][column], grid[1][column]
        for index, n in enumerate(dict.fromkeys(point.iterations for point in own)):
            line = [point for point in own if point.iterations == n]
            x = [point.value for point in line]
            label = f"n = {n}"
            _band(top, x, [point.coverage for point in line], series(index), label)
            _band(bottom, x, [point.volume for point in line], series(index), label)
        top.set_ylim(0, 1.03)
        top.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
        bottom.set_ylim(bottom=0)
        bottom.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        bottom.set_xlabel(f"{titles[kind]} (our values)")
        top.set_title("Coverage: labels kept", color=INK)
        bottom.set_title("Volume: answers kept", color=INK)
        for axes in (top, bottom):
            axes.grid(axis="x", visible=False)
            axes.tick_params(labelleft=True)
    _legend(grid[1][0], columns=8, drop=-0.22)
    return figure


def _band(axes: Axes, x: Sequence[float], found: Sequence[Spread], color: str, label: str) -> None:
    ends = [one.interval or (one.mean, one.mean) for one in found]
    axes.fill_between(
        x, [low for low, _ in ends], [high for _, high in ends], color=color, alpha=0.14,
        linewidth=0,
    )  # fmt: skip
    axes.plot(
        x, [one.mean for one in found], "o-", color=color, markeredgecolor=SURFACE, label=label
    )
