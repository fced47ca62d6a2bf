"""`earshot-attacker report paper`: every table that was run, with the paper's figures beside."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from attacker.commands.run_table import DEFAULT_OUT

if TYPE_CHECKING:
    from attacker.lab.paper.findings import PaperResults

WORD = "paper"
"""What is written in place of a folder for the tables where `run` puts them."""


@dataclass(frozen=True)
class PaperOptions:
    """What the command line asks for."""

    folder: Path
    bundles: tuple[Path, ...]
    url: str
    audit_key: str | None = field(repr=False)
    cache: Path
    device: str
    out: Path | None
    markdown: Path | None
    command: str


def paper_folder(folder: Path) -> Path | None:
    """Return the folder of tables that ``folder`` means, or None where it is a single run."""
    from attacker.run_folder import EXPERIMENT_NAME
    from attacker.tables.manifest import find_manifests

    if folder == Path(WORD):
        return DEFAULT_OUT
    if (folder / EXPERIMENT_NAME).is_file() or not find_manifests(folder):
        return None
    return folder


def report_paper(options: PaperOptions, console: Console) -> Path:
    """Measure the tables, tell what was found, and return the path of the page.

    Raises:
        EarshotError: there is no table, or a bundle, the victim or a key does not serve.
    """
    from attacker.lab.paper.measure import PaperMeasurement
    from shared.runtime import choose_device, tune_process

    tune_process()
    measurement = PaperMeasurement(
        folder=options.folder,
        bundles=options.bundles,
        url=options.url,
        audit_key=options.audit_key,
        cache=options.cache,
        device=str(choose_device(options.device)),
        out=options.out,
        markdown=options.markdown,
        command=options.command,
    )
    with console.status("measuring") as status:
        results, path = measurement.carry_out(lambda text: status.update(text))
    for line in _told(results, path, options.markdown):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    return path


def _told(results: "PaperResults", path: Path, markdown: Path | None) -> Sequence[str]:
    from attacker.lab.paper import words

    lines = [f"LEAK: {leak}" for leak in results.leaks]
    lines += list(results.warnings)
    for table in results.tables:
        name = f"{table.name} ({table.profile})"
        if not table.measured:
            lines.append(f"{name}: not measured: {table.victim.problem}")
            continue
        told = [f"{one.verdict}: {one.text}" for one in table.decisions]
        lines += [f"{name}: {words.table_line(table)}", *(f"  {text}" for text in told)]
    lines += [f"check {one.verdict}: {one.text}. {one.detail}" for one in results.checks]
    lines += [words.headline(results)]
    lines += [f"Markdown: {markdown}"] if markdown is not None else []
    return [*lines, f"Report: {path}"]
