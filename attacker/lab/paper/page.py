"""Puts the comparison with the paper together: one HTML file that needs nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from attacker.lab.paper import figures, line_words, trends, words
from attacker.lab.paper.claims import RULES
from attacker.lab.paper.findings import PaperResults, TableResult
from attacker.lab.report import svg
from attacker.lab.report.builder import templates
from attacker.lab.report.words import count, percent, spread
from shared.checkpoint import write_atomically

_HERE = Path(__file__).parent
_CSS = (_HERE.parent / "report" / "report.css", _HERE / "paper.css")
_FEWEST_ROWS = 2


@dataclass(frozen=True)
class Plate:
    """A figure with what it shows."""

    svg: Markup
    caption: str
    first: bool = False
    """Whether it stands before the table: the paper has a figure there, and no table."""


def write_page(results: PaperResults, path: Path) -> None:
    """Write the page of ``results`` to ``path``."""
    write_atomically(path, render(results).encode())


def render(results: PaperResults) -> str:
    """Return the page as one HTML document that refers to nothing outside itself."""
    environment = templates(_HERE)
    environment.filters.update(percent=percent, spread=spread, slug=_slug, count=count)
    css = "".join(path.read_text(encoding="utf-8") for path in _CSS)
    return environment.get_template("paper.html.j2").render(
        css=Markup(css),  # noqa: S704 - our own files
        results=results,
        words=words,
        trends=trends,
        line_words=line_words,
        rules=RULES,
        tally=trends.tally(trends.of_paper(results) or trends.of_ours(results)),
        plates={table.anchor: _plates(table) for table in results.tables},
        commands=commands(results),
    )


def commands(results: PaperResults) -> list[str]:
    """Return the shell lines that make everything again, without any key."""
    lines = [
        "export EARSHOT_URL=…         # of the victim",
        "export EARSHOT_KEY=…         # of the query scope",
        "export EARSHOT_AUDIT_KEY=…   # of the audit scope",
    ]
    lines += dict.fromkeys(table.command for table in results.tables)
    return [*lines, results.command]


def _plates(table: TableResult) -> list[Plate]:
    if not table.measured:
        return []
    plates = []
    if figures.has_layers(table):
        plates.append(
            _plate(
                lambda: figures.layers_plot(table),
                "A curve is a model whose first layers are known; frozen ones keep their weights. "
                "Bars are 95 % intervals over seeds. The paper printed its curves without figures.",
                "Accuracy against known layers: " + _told(table),
                first=True,
            )
        )
    elif len(table.rows) >= _FEWEST_ROWS:
        plates.append(
            _plate(
                lambda: figures.rows_plot(table),
                "The paper's victim, corpora and numbers of queries are others: compare the order "
                "of the rows and their distances, not their places.",
                "Accuracy by row: " + _told(table),
            )
        )
    if drawn := line_words.drawn(table.lines):
        plates.append(
            _plate(
                lambda: figures.queries_plot(table, drawn, line_words.aim(table.victim)),
                "A surrogate is trained from scratch at every point; bands are 95 % intervals over "
                "seeds, and one seed has none. A line that rises further to the left steals more "
                "per query.",
                "Accuracy against queries of " + ", ".join(line.label for line in drawn),
            )
        )
    if table.curve:
        plates.append(
            _plate(
                lambda: figures.caps_plot(table.curve),
                f"What other thresholds would have kept of the answers that {table.curve_row} "
                "bought; no clip was bought for this figure. A cap of one or more takes no label "
                "away: coverage grows with n, and a threshold decides the volume.",
                "Coverage and volume against thresholds",
            )
        )
    return plates


def _plate(draw: Callable[[], Figure], caption: str, alt: str, *, first: bool = False) -> Plate:
    with svg.drawing():
        return Plate(svg.to_svg(draw(), alt=alt), caption, first)


def _told(table: TableResult) -> str:
    return "; ".join(
        f"{row.label} {words.value(row.figures.get('accuracy'), 'accuracy')}" for row in table.rows
    )


def _slug(text: str) -> str:
    return text.replace(" ", "-")
