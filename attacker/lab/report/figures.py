"""Figures over queries: the budget curve and the growth of coverage."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attacker.lab.records import CampaignRecord
from attacker.lab.report.svg import INK, MUTED, SURFACE, WIDTH_IN
from attacker.lab.report.words import percent, short
from attacker.lab.results import Estimate, MarkResult, Results
from attacker.lab.tables import coverage_growth, thin

_TICKS = 5

End = tuple[float, str, str]
"""Height at which a line ends, its name, its colour."""


def budget_curve(results: Results, colors: dict[str, str]) -> Figure:
    """Draw accuracy and fidelity against queries, a line a campaign."""
    figure = Figure(figsize=(WIDTH_IN, 3.5))
    left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.64})
    victim = results.victim.accuracy
    left.axhspan(victim.low, victim.high, color=INK, alpha=0.07, linewidth=0)
    left.axhline(victim.value, color=INK, linewidth=1.1, linestyle=(0, (5, 3)))
    _curve_panel(left, results, colors, "accuracy", (victim.value, "victim", INK))
    left.set_title("Accuracy on the victim's test split", color=INK)
    _curve_panel(right, results, colors, "fidelity")
    right.set_title("Fidelity: agreement with the victim", color=INK)
    right.tick_params(labelleft=True)
    return figure


def _curve_panel(
    axes: Axes, results: Results, colors: dict[str, str], measure: str, *references: End
) -> None:
    chance = 1 / len(results.victim.labels)
    axes.axhline(chance, color=MUTED, linewidth=1, linestyle=(0, (1, 2.5)))
    ends: list[End] = [(chance, "chance", MUTED), *references]
    marks: set[int] = set()
    for campaign in results.campaigns:
        if not campaign.marks:
            continue
        color = colors[campaign.name]
        x = [mark.queries for mark in campaign.marks]
        points = [_measure(mark, measure) for mark in campaign.marks]
        y = [point.value for point in points]
        low, high = [point.low for point in points], [point.high for point in points]
        if len(x) > 1:
            axes.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)
        else:
            axes.vlines(x, low, high, color=color, linewidth=5, alpha=0.3)
        axes.plot(x, y, "o-", color=color, markeredgecolor=SURFACE, markeredgewidth=1.2)
        ends.append((y[-1], short(campaign.name), color))
        marks.update(x)
    axes.set_ylim(0, 1.03)
    axes.set_xlim(left=0, right=max(marks, default=1) * 1.03)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if len(marks) <= _TICKS:
        axes.set_xticks([0, *sorted(marks)])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(_TICKS, integer=True))
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("queries (clips labelled by the victim)")
    end_labels(axes, [(y, f"{name} {percent(y)}", color) for y, name, color in ends], gap=0.075)


def _measure(mark: MarkResult, measure: str) -> Estimate:
    return mark.accuracy if measure == "accuracy" else mark.fidelity


def end_labels(axes: Axes, ends: list[End], gap: float) -> None:
    """Write each line's name at its right end, pushed apart where they would overlap.

    ``gap`` is the least distance of two labels, in the units of the y axis.
    """
    ordered = sorted(ends, key=lambda end: end[0])
    heights = [end[0] for end in ordered]
    for index in range(1, len(heights)):
        heights[index] = max(heights[index], heights[index - 1] + gap)
    top = axes.get_ylim()[1]
    for index in reversed(range(len(heights))):
        heights[index] = min(heights[index], top - gap * (len(heights) - 1 - index))
    for height, (_, text, color) in zip(heights, ordered, strict=True):
        where = axes.get_yaxis_transform()
        axes.text(1.02, height, text, transform=where, color=color, va="center", fontsize=8.5)


def coverage_curve(
    campaigns: tuple[CampaignRecord, ...], n_classes: int, colors: dict[str, str]
) -> Figure:
    """Draw the number of labels seen against the number of queries."""
    figure = Figure(figsize=(WIDTH_IN * 0.86, 2.7))
    axes = figure.subplots()
    ends: list[End] = []
    longest = 1
    for campaign in campaigns:
        if not campaign.queries:
            continue
        growth = coverage_growth(campaign.labels)
        at = thin(len(growth))
        axes.step(at + 1, growth[at], where="post", color=colors[campaign.name])
        text = f"{short(campaign.name)} {growth[-1]} of {n_classes}"
        ends.append((float(growth[-1]), text, colors[campaign.name]))
        longest = max(longest, len(growth))
    axes.axhline(n_classes, color=INK, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1)
    axes.text(
        0.99,
        n_classes * 1.03,
        f"all {n_classes} labels",
        transform=axes.get_yaxis_transform(),
        ha="right",
        color=MUTED,
        fontsize=8,
    )
    axes.set_ylim(0, n_classes * 1.14)
    axes.set_xlim(left=1, right=longest + 1)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("queries")
    axes.set_ylabel("labels seen")
    end_labels(axes, ends, gap=n_classes * 0.1)
    return figure
