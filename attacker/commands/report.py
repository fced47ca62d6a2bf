"""`earshot-attacker report`: measure what was stolen, and write it as one HTML file."""

import os
import shlex
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from attacker.commands.options import (
    DEFAULT_CACHE,
    DEFAULT_URL,
    Cache,
    Key,
    KeyFile,
    Url,
    demand_options,
    read_key,
)
from attacker.commands.report_paper import paper_folder, report_paper
from attacker.commands.report_study import report_study, study_folder
from attacker.errors import ExperimentError
from attacker.run_folder import redact

if TYPE_CHECKING:
    from attacker.lab.results import Estimate, Results

AUDIT_KEY_VARIABLE = "EARSHOT_AUDIT_KEY"

RunFolderArgument = Annotated[
    Path,
    typer.Argument(
        help="Run folder, or folder of tables; `paper` is runs/paper, unless a folder of tables "
        "follows it, and `study` goes before the folder of a study."
    ),
]
NamedFolderArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[NAMED]", help="Folder of a study after `study`, or of tables after `paper`."
    ),
]
BundleOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="Evaluation bundle: `bundle` in the victim's checkpoint folder. Once for each victim "
        "of the tables."
    ),
]
DeviceOption = Annotated[
    str, typer.Option(help="Where surrogates of tables are scored: auto, cpu, cuda or cuda:0.")
]
PageOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="The page of tables, or of a study.",
        show_default="report.html or study.html in the folder",
    ),
]
MarkdownOption = Annotated[
    Path | None, typer.Option(help="Write the tables as Markdown to this file, too.")
]
AuditKey = Annotated[
    str, typer.Option(help="API key of the audit scope; better in EARSHOT_AUDIT_KEY or a file.")
]
AuditKeyFile = Annotated[Path | None, typer.Option(help="File that holds the audit key.")]
Again = Annotated[
    str,
    typer.Option(
        envvar="EARSHOT_COMMAND", hidden=True, help="Command that the report says repeats the run."
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Show the report in a browser.")]


def report(
    folder: RunFolderArgument,
    named: NamedFolderArgument = None,
    bundle: BundleOption = None,
    url: Url = DEFAULT_URL,
    audit_key: AuditKey = "",
    audit_key_file: AuditKeyFile = None,
    key: Key = "",
    key_file: KeyFile = None,
    cache: Cache = DEFAULT_CACHE,
    device: DeviceOption = "auto",
    out: PageOption = None,
    markdown: MarkdownOption = None,
    again: Again = "",
    open_: Open = False,
) -> None:
    """Score every surrogate of a run on the victim's test split, and write the report.

    The victim labels the test split once, under the audit key. With the key that paid (--key,
    --key-file or EARSHOT_KEY), the report also compares the server's ledger with the journal.
    Of a folder of tables, such as `paper`, the report holds every table with the paper's figures
    beside it; give --bundle for each victim that was attacked. Of a study, which is measured
    already, `report study FOLDER` writes the page that an operator decides from.
    """
    console, line = Console(), shlex.join(["earshot-attacker", *redact(sys.argv[1:])])
    tables = paper_folder(folder, named)
    of_study = None if tables is not None else study_folder(folder, named)
    if of_study is not None:
        demand_options("a study", {"--bundle": bundle, "--key-file": key_file})
        path = report_study(of_study, line, out, markdown, console)
    elif tables is not None:
        from attacker.lab.paper.measure import PaperMeasurement
        from shared.runtime import choose_device

        measurement = PaperMeasurement(
            folder=tables,
            bundles=tuple(bundle or ()),
            url=url,
            audit_key=_optional_key(audit_key, audit_key_file, AUDIT_KEY_VARIABLE),
            cache=cache,
            device=str(choose_device(device)),
            out=out,
            markdown=markdown,
            command=line,
        )
        path = report_paper(measurement, console)
    else:
        demand_options("a single run", {"--out": out, "--markdown": markdown})
        path = write_report(
            folder,
            _only(tuple(bundle or ())),
            url=url,
            audit_key=_optional_key(audit_key, audit_key_file, AUDIT_KEY_VARIABLE),
            query_key=_optional_key(key, key_file, "EARSHOT_KEY"),
            cache=cache,
            again=again or None,
            console=console,
        )
    if open_:
        webbrowser.open(path.resolve().as_uri())


def write_report(
    folder: Path,
    bundle: Path,
    *,
    url: str,
    audit_key: str | None,
    query_key: str | None = None,
    cache: Path = DEFAULT_CACHE,
    again: str | None = None,
    console: Console,
) -> Path:
    """Measure the run in ``folder``, print the table, and return the path of the report.

    Raises:
        EarshotError: the run, the bundle, the victim or a key does not serve.
    """
    from attacker.lab.measure import Measurement
    from shared.runtime import tune_process

    tune_process()
    measurement = Measurement(folder, bundle, url, audit_key, query_key, cache, again)
    with console.status("measuring") as status:
        results, path = measurement.carry_out(lambda text: status.update(text))
    show(results, console)
    console.print(f"Report: {path}", highlight=False, soft_wrap=True, markup=False)
    return path


def _only(bundles: tuple[Path, ...]) -> Path:
    if len(bundles) != 1:
        raise ExperimentError(
            f"{len(bundles)} bundles are given, and the report of a run needs one. Give the "
            "`bundle` folder inside the victim's checkpoint folder with --bundle."
        )
    return bundles[0]


def show(results: "Results", console: Console) -> None:
    """Print the results as a table, and what they say in words."""
    from attacker.lab.report.words import headline, percent, stop_notes

    title = f"{results.run}: {results.victim.test_clips:,} test clips, 95 % intervals"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("campaign", overflow="fold")
    for heading in ("queries", "volume", "coverage", "accuracy, %", "fidelity, %", "KL"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("victim", "", "", "", _cell(results.victim.accuracy), "", "")
    for campaign in results.campaigns:
        for mark in campaign.marks:
            table.add_row(
                campaign.name,
                f"{mark.queries:,}",
                f"{mark.volume:,}",
                percent(mark.coverage),
                _cell(mark.accuracy),
                _cell(mark.fidelity),
                f"{mark.kl_nats.value:.2f}",
            )
    console.print(table)
    said = headline(results)
    for text in (said.finding, said.verdict, *stop_notes(results)):
        console.print(text, highlight=False, markup=False)


def _cell(estimate: "Estimate") -> str:
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.1f} [dim]({low:.1f}-{high:.1f})[/]"


def _optional_key(key: str, key_file: Path | None, variable: str) -> str | None:
    if not (key or key_file or os.environ.get(variable)):
        return None
    return read_key(key or os.environ.get(variable, ""), key_file)
