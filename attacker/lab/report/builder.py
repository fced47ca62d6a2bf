"""Puts the report together: results, figures and clips into one HTML file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from attacker.lab.evaluate import Findings
from attacker.lab.records import RunRecord
from attacker.lab.report import figures, speakers, svg, words
from attacker.lab.report.card import card_rows
from attacker.lab.report.sounds import SoundTable
from attacker.lab.results import CampaignResult, Results, SpeakerRecall
from shared.checkpoint import write_atomically

_HERE = Path(__file__).parent
REPORT_NAME = "report.html"


@dataclass(frozen=True)
class Plate:
    """A figure with what it shows and, for those who cannot see it, what it looks like."""

    svg: Markup
    caption: str


def build_report(
    run: RunRecord, findings: Findings, sounds: SoundTable, commands: tuple[str, ...]
) -> Path:
    """Write ``report.html`` into the run folder and return its path.

    ``commands`` are the shell lines that make the run and its report again, without any key.
    """
    html = render(run, findings, sounds, commands)
    path = run.folder / REPORT_NAME
    write_atomically(path, html.encode())
    return path


def render(
    run: RunRecord, findings: Findings, sounds: SoundTable, commands: tuple[str, ...]
) -> str:
    """Return the report as one HTML document that refers to nothing outside itself."""
    results = findings.results
    environment = templates(_HERE)
    environment.filters.update(
        percent=words.percent,
        spread=words.spread,
        points=words.points,
        points_spread=words.points_spread,
        verdict_word=words.verdict_word,
    )
    return environment.get_template("report.html.j2").render(
        css=Markup((_HERE / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        run=run,
        results=results,
        headline=words.headline(results),
        best=words.choose_best(results),
        comparison=_headline_comparison(results),
        notes=[*words.stop_notes(results), *run.warnings],
        plates=_plates(run, findings),
        sounds=sounds,
        reconciliation=words.reconciliation(results),
        colors=_color_names(results),
        card=card_rows(run.card),
        commands=commands,
        price=None if results.account is None else results.account.price_per_clip,
    )


def templates(folder: Path) -> jinja2.Environment:
    """Return the templates in ``folder``: all text is escaped, and a name unknown is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _headline_comparison(results: Results) -> Any:
    subject = words.choose_subject(results)
    return None if subject is None else words.last_comparison(results, subject.name)


def color_order(results: Results) -> list[str]:
    """Return the campaigns' names in order of their colours: the baseline has the first."""
    names = [campaign.name for campaign in results.campaigns]
    return sorted(names, key=lambda name: name != results.baseline)


def _color_names(results: Results) -> dict[str, str]:
    size = len(svg.SERIES)
    return {name: f"series-{i % size}" for i, name in enumerate(color_order(results))}


def _plates(run: RunRecord, findings: Findings) -> dict[str, Plate | None]:
    results = findings.results
    colors = {name: svg.series(index) for index, name in enumerate(color_order(results))}
    asked = tuple(campaign for campaign in run.campaigns if campaign.queries)
    trained = tuple(campaign for campaign in results.campaigns if campaign.marks)
    names = list(results.victim.labels)
    compared = _compared(results, trained)
    agreement = {name: findings.agreement[name] for name in compared}
    recalls = {c.name: _last_recall(c) for c in trained if c.name in compared}
    return {
        "curve": _plate(
            bool(trained),
            lambda: figures.budget_curve(results, colors),
            "Bands are 95 % intervals over test clips. A line that rises faster steals more per "
            "query; the dashed line is the victim itself, the dotted one is guessing.",
            _curve_alt(trained),
        ),
        "labels": _plate(
            bool(asked),
            lambda: speakers.label_histograms(asked, names, colors),
            "Each bar is one of the victim's labels, most frequent first: pale is every answer, "
            "solid is what the sampler kept for training, and the step line is its cap. A steep "
            "left side means that the source keeps sounding like the same few speakers.",
            "Bars of answers by label for " + ", ".join(c.name for c in asked),
        ),
        "coverage": _plate(
            bool(asked),
            lambda: figures.coverage_curve(asked, len(names), colors),
            "Labels that the victim has given at least once. A surrogate cannot learn a speaker "
            "whose label was never seen, so this line bounds what a campaign can steal.",
            "; ".join(f"{c.name} saw {percent_of(c)} of all labels" for c in results.campaigns),
        ),
        "confusion": _plate(
            bool(agreement),
            lambda: speakers.confusion_matrices(agreement, names),
            "Rows are the victim's label, columns the surrogate's, on the test split. A perfect "
            "copy is a clean diagonal; a full column is a speaker whom the surrogate overuses.",
            "Matrices of the victim's against the surrogate's labels for " + ", ".join(agreement),
        ),
        "recall": _plate(
            bool(recalls),
            lambda: speakers.recall_plot(results.victim.recall, recalls, colors),
            "Share of each speaker's test clips that are identified. A long gap between tick and "
            "dot is a speaker whom the surrogate did not learn.",
            "Recall of every speaker by the victim and by " + ", ".join(recalls),
        ),
    }


def _plate(wanted: bool, draw: Callable[[], Figure], caption: str, alt: str) -> Plate | None:
    if not wanted:
        return None
    with svg.drawing():
        return Plate(svg.to_svg(draw(), alt=alt), caption)


def _compared(results: Results, trained: tuple[CampaignResult, ...]) -> tuple[str, ...]:
    """The baseline and the headline's campaign, where they have surrogates."""
    subject = words.choose_subject(results)
    wanted = (results.baseline, None if subject is None else subject.name)
    return tuple(campaign.name for campaign in trained if campaign.name in wanted)


def _last_recall(campaign: CampaignResult) -> tuple[SpeakerRecall, ...]:
    return campaign.marks[-1].recall


def _curve_alt(trained: tuple[CampaignResult, ...]) -> str:
    ends = [
        f"{c.name} ends at accuracy {words.percent(c.marks[-1].accuracy.value)} and fidelity "
        f"{words.percent(c.marks[-1].fidelity.value)} after {c.marks[-1].queries:,} queries"
        for c in trained
    ]
    return "Accuracy and fidelity against queries: " + "; ".join(ends)


def percent_of(campaign: CampaignResult) -> str:
    """Return the campaign's coverage as a percentage."""
    return words.percent(campaign.coverage)
