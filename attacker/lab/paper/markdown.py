"""The same tables as Markdown, for a document that is kept beside the source."""

from collections.abc import Sequence
from pathlib import Path

from attacker.lab.paper import words
from attacker.lab.paper.findings import PaperResults, RowResult, TableResult
from attacker.lab.paper.page import commands
from attacker.lab.report.words import NBSP
from attacker.tables.claims import Figure
from shared.checkpoint import write_atomically


def write_markdown(results: PaperResults, path: Path) -> None:
    """Write the tables of ``results`` to ``path``."""
    write_atomically(path, render_markdown(results).encode())


def render_markdown(results: PaperResults) -> str:
    """Return the tables of ``results`` with their trends, checks and commands."""
    parts = [words.headline(results)]
    parts += [f"**The ruler has leaked: {leak}**" for leak in results.leaks]
    parts += [f"- {note}" for note in results.warnings]
    for table in results.tables:
        parts += _table(table)
    parts.append("## The laboratory's checks of itself")
    parts.append(
        "\n".join(f"- **{one.verdict}**: {one.text}. {one.detail}" for one in results.checks)
    )
    parts.append("## Commands")
    parts.append("```\n" + "\n".join(commands(results)) + "\n```")
    commits = dict.fromkeys(f"{one.name}: {one.commit or 'unknown'}" for one in results.tables)
    parts.append("Run at commit: " + "; ".join(commits) + ".")
    return "\n\n".join(parts).replace(NBSP, " ") + "\n"


def _table(table: TableResult) -> list[str]:
    parts = [
        f"## {table.reference or table.name}: {table.title}",
        f"`{table.name}`, profile `{table.profile}`, {len(table.seeds)} seeds; "
        f"{words.victim_line(table)}. {words.table_line(table)}.",
    ]
    if not table.measured:
        return [*parts, f"Not measured: {table.victim.problem}."]
    shown = [figure for figure in table.columns if figure != "fidelity"]
    names = [words.NAMES[figure].lower() for figure in shown]
    titles = ["row", *(f"{name}, {who}" for name in names for who in ("paper", "here"))]
    titles += ["fidelity", "queries", "seeds"]
    lines = [_line(titles), _line(["---"] + ["---:"] * (len(titles) - 1))]
    lines += [_line(_row(row, shown)) for row in table.rows]
    parts.append("\n".join(lines))
    if table.decisions:
        trends = []
        for one in table.decisions:
            why = [words.evidence(item, one) for item in one.evidence]
            why = [one.reason, *why] if one.reason else why
            trends.append(f"- **{one.verdict}**: {one.text} ({one.figure}). {'; '.join(why)}.")
        parts.append("\n".join(trends))
    return parts


def _row(row: RowResult, shown: Sequence[Figure]) -> list[str]:
    label = " ".join([row.label, *(f"`{text}`" for text in row.settings)])
    cells = [label]
    for figure in shown:
        cells += [words.printed(row, figure), _ours(row, figure)]
    return [*cells, _ours(row, "fidelity"), words.value(row.queries, "volume"), words.seeds(row)]


def _ours(row: RowResult, figure: Figure) -> str:
    found = row.figures.get(figure)
    reach = words.interval(found, figure)
    return words.value(found, figure) + (f" ({reach})" if reach else "")


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
