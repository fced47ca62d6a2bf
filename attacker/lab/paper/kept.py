"""What a report of tables leaves on disk, and what it may not write over.

The numbers lie with the tables, wherever the page goes; and no report that measured nothing takes
the place of one that did.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attacker.errors import EarshotError
from attacker.lab.bundle import Bundle
from attacker.lab.paper.findings import PaperResults
from attacker.lab.paper.markdown import write_markdown
from attacker.lab.paper.page import write_page
from attacker.tables.manifest import VICTIM_DIGITS, TableRun
from shared.checkpoint import write_atomically

RESULTS_NAME = "results.json"
PAGE_NAME = "report.html"


class NothingMeasuredError(EarshotError):
    """No bundle that was given is of a victim that a table was run against."""


def demand_bundle(
    bundles: Mapping[str, Bundle], runs: Sequence[TableRun], folder: Path
) -> str | None:
    """Return why nothing can be measured, or None where some table below ``folder`` can.

    Raises:
        NothingMeasuredError: bundles are given and none fits, and nothing was measured before.
    """
    if any(run.victim.checkpoint in bundles for run in runs):
        return None
    attacked: dict[str, list[str]] = {}
    for run in runs:
        name = run.victim.checkpoint[:VICTIM_DIGITS]
        attacked.setdefault(name, []).append(f"{run.table.name} ({run.profile})")
    victims = "; ".join(f"{name}: {', '.join(tables)}" for name, tables in attacked.items())
    given = ", ".join(name[:VICTIM_DIGITS] for name in bundles)
    wrong = f"no table below {folder} was run against the victim of --bundle ({given})"
    advice = f"Give the `bundle` in the checkpoint folder of the victim of each: {victims}."
    before = measured_before(folder)
    if not before:
        if bundles:
            raise NothingMeasuredError(f"{wrong}, so that nothing is measured. {advice}")
        return None
    return (
        f"Nothing was measured: {wrong if bundles else 'no --bundle is given'}. What was measured "
        f"before is left as it is, there and in {folder / RESULTS_NAME}: {', '.join(before)}. "
        f"{advice}"
    )


def measured_before(folder: Path) -> list[str]:
    """Return the tables that the last report of ``folder`` measured; a damaged one counts as none.

    What an older or later version has written is none, too.
    """
    try:
        text = (folder / RESULTS_NAME).read_text(encoding="utf-8")
        results = PaperResults.model_validate_json(text)
    except (OSError, ValueError):
        return []
    return [f"{table.name} ({table.profile})" for table in results.tables if table.measured]


def write_results(
    results: PaperResults, folder: Path, out: Path | None, markdown: Path | None, *, keep: bool
) -> Path:
    """Write numbers, page and Markdown, and return the path of the page.

    ``keep`` leaves in ``folder`` what was measured before, and writes pages where none lies yet.
    """
    page = out or folder / PAGE_NAME
    if not keep:
        text = results.model_dump_json(indent=1) + "\n"
        write_atomically(folder / RESULTS_NAME, text.encode())
    if not (keep and page.exists()):
        write_page(results, page)
    if markdown is not None and not (keep and markdown.exists()):
        write_markdown(results, markdown)
    return page
