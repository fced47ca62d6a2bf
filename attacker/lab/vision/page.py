"""The vision control as one HTML page in the style of the run report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attacker.lab import report
from attacker.lab.report import svg
from attacker.lab.report.builder import templates
from attacker.lab.report.card import card_rows
from attacker.lab.report.words import percent, points, verdict_word
from attacker.lab.results import Estimate
from attacker.lab.vision import words
from attacker.lab.vision.experiment import VisionExperiment
from attacker.lab.vision.results import Mean, VisionResults
from shared.checkpoint import write_atomically
from shared.config import dump_yaml

PAGE_NAME = "report.html"
_HERE = Path(__file__).parent
_STYLE_SHEET = Path(report.__file__).parent / "report.css"


def write_page(
    results: VisionResults, experiment: VisionExperiment, card: Mapping[str, Any], out: Path
) -> Path:
    """Write ``report.html`` into ``out``, complete in itself, and return its path."""
    environment = templates(_HERE)
    environment.filters.update(
        percent=percent,
        points=points,
        share_spread=words.share_spread,
        points_spread=words.points_spread,
        verdict_word=verdict_word,
    )
    with svg.drawing():
        curve = svg.to_svg(layer_curve(results), alt=_describe(results))
    html = environment.get_template("page.html.j2").render(
        css=Markup(_STYLE_SHEET.read_text(encoding="utf-8")),  # noqa: S704 - our own file
        results=results,
        headline=words.headline(results),
        notes=words.notes(results),
        curve=curve,
        tasks=words.TASKS,
        colors={c.source: f"series-{i}" for i, c in enumerate(results.curves)},
        experiment_yaml=dump_yaml(experiment),
        card=card_rows(card),
    )
    path = out / PAGE_NAME
    write_atomically(path, html.encode())
    return path


def layer_curve(results: VisionResults) -> Figure:
    """Draw accuracy and fidelity against the number of layers given, a line a source."""
    figure = Figure(figsize=(svg.WIDTH_IN, 3.6))
    left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.12})
    victim: Estimate = results.victim.accuracy
    left.axhspan(victim.low, victim.high, color=svg.INK, alpha=0.07, linewidth=0)
    left.axhline(
        victim.value,
        color=svg.INK,
        linewidth=1.1,
        linestyle=(0, (5, 3)),
        label="the victim's accuracy",
    )
    for axes, figure_of in ((left, "accuracy"), (right, "fidelity")):
        _panel(axes, results, figure_of)
    left.set_title("Accuracy on the victim's test images", color=svg.INK)
    right.set_title("Fidelity: agreement with the victim", color=svg.INK)
    left.legend(frameon=False, loc="upper center", bbox_to_anchor=(1.06, -0.26), ncols=4)
    return figure


def _panel(axes: Axes, results: VisionResults, figure_of: str) -> None:
    for index, curve in enumerate(results.curves):
        color = svg.series(index)
        x = [point.first_layers for point in curve.points]
        means: list[Mean] = [getattr(point, figure_of) for point in curve.points]
        low = [mean.value if mean.low is None else mean.low for mean in means]
        high = [mean.value if mean.high is None else mean.high for mean in means]
        axes.fill_between(x, low, high, color=color, alpha=0.14, linewidth=0)
        for row in results.rows:
            if row.cell.source in (curve.source, "none"):
                where = row.cell.first_layers, getattr(row, figure_of)
                axes.plot(*where, ".", color=color, markersize=4, alpha=0.55)
        axes.plot(
            x,
            [mean.value for mean in means],
            "o-",
            color=color,
            markeredgecolor=svg.SURFACE,
            markeredgewidth=1.2,
            label=f"layers of {words.TASKS[curve.source]}",
        )
    axes.axhline(
        1 / results.victim.classes,
        color=svg.MUTED,
        linewidth=1,
        linestyle=(0, (1, 2.5)),
        label="chance",
    )
    ticks = [point.first_layers for point in results.curves[0].points]
    names = ("none", *results.layers)
    axes.set_xticks(ticks, [f"{k}\n{names[k]}" for k in ticks])
    axes.set_xlabel("layers given, up to and with")
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
    axes.grid(axis="x", visible=False)


def _describe(results: VisionResults) -> str:
    lines = [
        f"with layers of {words.TASKS[curve.source]}, accuracy is "
        + ", ".join(f"{percent(p.accuracy.value)} at k = {p.first_layers}" for p in curve.points)
        for curve in results.curves
    ]
    return "Accuracy and fidelity against the layers given: " + "; ".join(lines)
