"""The same tables as Markdown, for a document that is kept beside the source."""

from collections.abc import Sequence
from pathlib import Path

from attacker.lab.paper import line_words, trends, words
from attacker.lab.paper.claims import Decision
from attacker.lab.paper.findings import PaperResults, RowResult, TableResult
from attacker.lab.paper.page import commands
from attacker.lab.report.words import NBSP
from attacker.lab.spread import Spread
from attacker.tables.claims import Figure
from shared.checkpoint import write_atomically


def write_markdown(results: PaperResults, path: Path) -> None:
    """Write the tables of ``results`` to ``path``."""
    write_atomically(path, render_markdown(results).encode())


def render_markdown(results: PaperResults) -> str:
    """Return the tables of ``results`` with their trends, checks and commands."""
    parts = [trends.headline(results)]
    parts += [f"**The ruler has leaked: {leak}**" for leak in results.leaks]
    parts += [f"- {note}" for note in results.warnings]
    for table in results.tables:
        parts += _table(table)
    parts.append("## What the intervals leave out")
    parts.append(words.LEFT_OUT)
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
        f"{words.facts(table)}; {words.victim_line(table)}. {words.table_line(table)}.",
    ]
    if not table.measured:
        return [*parts, f"Not measured: {table.victim.problem}."]
    shown = words.shown(table)
    titles = ["row"]
    for figure, printed in shown:
        name = words.NAMES[figure].lower()
        titles += [f"{name}, paper", f"{name}, here"] if printed else [name]
    titles += ["fidelity", "queries", "seeds"]
    lines = [_line(titles), _line(["---"] + ["---:"] * (len(titles) - 1))]
    told = not words.common_note(table)
    lines += [_line(_row(row, shown, with_note=told)) for row in table.rows]
    parts += ["\n".join(lines), *words.table_notes(table), *_lines(table), *_caps(table)]
    for heading, decisions in trends.groups(table):
        parts += [f"### {heading}", "\n".join(_trend(one) for one in decisions)]
    return parts


def _trend(one: Decision) -> str:
    why = [words.evidence(item, one) for item in one.evidence]
    why = [one.reason, *why] if one.reason else why
    return f"- **{one.verdict}**: {one.text} ({one.figure}). {'; '.join(why)}."


def _lines(table: TableResult) -> list[str]:
    """Return accuracy by queries as a table, and how near the aim every point of it comes."""
    if not table.lines:
        return []
    numbers = line_words.numbers(table.lines)
    titles = ["accuracy after", *(f"{number:,}" for number in numbers), line_words.AIM_WORDS]
    lines = [_line(titles), _line(["---"] + ["---:"] * (len(titles) - 1))]
    near = []
    for line in table.lines:
        points = [line_words.at(line, number) for number in numbers]
        cells = [_figure(point.accuracy if point else None, "accuracy") for point in points]
        lines.append(_line([f"{line.label} `{line.id}`", *cells, line_words.summary(line)]))
        near += [
            f"- **{one.reach}**: `{line.id}` less {line_words.AIM_WORDS} after "
            f"{line_words.lead(one)}."
            for one in line.points
        ]
    return ["### Accuracy by queries", "\n".join(lines), "\n".join(near)]


def _caps(table: TableResult) -> list[str]:
    """Return what each cap would have kept, after each number of iterations."""
    if not table.curve:
        return []
    counts = sorted({point.iterations for point in table.curve})
    titles = ["cap"]
    for n in counts:
        titles += [f"volume, n = {n}", f"coverage, n = {n}"]
    lines = [_line(titles), _line(["---"] + ["---:"] * (len(titles) - 1))]
    for cap in dict.fromkeys((point.parameter, point.value) for point in table.curve):
        cells = [f"{cap[0]} = {cap[1]:g}"]
        for n in counts:
            own = (p for p in table.curve if (p.parameter, p.value, p.iterations) == (*cap, n))
            found = next(own, None)
            cells.append(_figure(found.volume if found else None, "volume"))
            cells.append(_figure(found.coverage if found else None, "coverage"))
        lines.append(_line(cells))
    heading = f"### What other caps would have kept of the answers of `{table.curve_row}`"
    return [heading, "\n".join(lines)]


def _row(row: RowResult, shown: Sequence[tuple[Figure, bool]], *, with_note: bool) -> list[str]:
    label = [row.label, *(f"`{text}`" for text in row.settings), f"`{row.id}`"]
    label += [f"*{row.note}*"] if row.note and with_note else []
    cells = [" ".join(label)]
    for figure, printed in shown:
        cells += [words.printed(row, figure)] if printed else []
        cells.append(_figure(row.figures.get(figure), figure))
    return [
        *cells,
        _figure(row.figures.get("fidelity"), "fidelity"),
        words.value(row.queries, "volume"),
        words.seeds(row),
    ]


def _figure(found: Spread | None, figure: Figure) -> str:
    reach = words.interval(found, figure)
    return words.value(found, figure) + (f" ({reach})" if reach else "")


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
