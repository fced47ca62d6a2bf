"""`earshot-attacker report paper`: every table that was run, with the paper's figures beside."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from attacker.commands.run_table import DEFAULT_OUT
from attacker.tables.progress import tables_below

if TYPE_CHECKING:
    from attacker.lab.paper.findings import PaperResults
    from attacker.lab.paper.measure import PaperMeasurement

WORD = "paper"
"""What is written before a folder of tables, or in its place for where `run` puts them."""


def paper_folder(folder: Path, named: Path | None = None) -> Path | None:
    """Return the folder of tables that the command line means, or None if it means another kind.

    ``named`` is what follows the word ``paper``.
    """
    if folder == Path(WORD):
        return named or DEFAULT_OUT
    if named is not None or not tables_below(folder):
        return None
    return folder


def report_paper(measurement: "PaperMeasurement", console: Console) -> Path:
    """Measure the tables, tell what was found, and return the path of the page.

    Raises:
        EarshotError: there is no table, or a bundle, the victim or a key does not serve.
    """
    from shared.runtime import tune_process

    tune_process()
    with console.status("measuring") as status:
        results, path = measurement.carry_out(lambda text: status.update(text))
    for line in _told(results, path, measurement.markdown):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    return path


def _told(results: "PaperResults", path: Path, markdown: Path | None) -> Sequence[str]:
    from attacker.lab.paper import trends, words
    from attacker.lab.paper.line_words import AIM_WORDS, summary

    lines = [f"LEAK: {leak}" for leak in results.leaks]
    lines += list(results.warnings)
    for table in results.tables:
        name = f"{table.name} ({table.profile})"
        if not table.measured:
            lines.append(f"{name}: not measured: {table.victim.problem}")
            continue
        told = [f"{one.verdict}: {one.text}" for one in table.of_paper]
        told += [f"{one.verdict}: {one.text} (asked by us)" for one in table.of_ours]
        told += [f"{AIM_WORDS}: {line.id} {summary(line)}" for line in table.lines]
        lines += [f"{name}: {words.table_line(table)}", *(f"  {text}" for text in told)]
    lines += [f"check {one.verdict}: {one.text}. {one.detail}" for one in results.checks]
    lines += [trends.headline(results)]
    lines += [f"Markdown: {markdown}"] if markdown is not None else []
    return [*lines, f"Report: {path}"]
