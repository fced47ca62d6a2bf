"""`earshot-attacker detections`: which detectors see whom, how soon, and whom they accuse."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from attacker.commands.options import (
    DEFAULT_CACHE,
    DEFAULT_URL,
    Cache,
    StudyFolder,
    Url,
    read_key,
)

if TYPE_CHECKING:
    from attacker.lab.detection.rows import DetectionRow

TrialFile = Annotated[Path, typer.Argument(help="Trial YAML file.")]
AdminKeyFile = Annotated[Path, typer.Option(help="File with a key of scope admin.")]
Bundle = Annotated[
    Path | None, typer.Option(help="Evaluation bundle of the victim, for honest users.")
]
Out = Annotated[Path | None, typer.Option(help="JSON lines file; rows are appended to it.")]

_NO_STUDY = (
    "What was stolen by the alarms stays unknown: the trial names cells of a study. Name its "
    "folder with --study."
)


def detections(
    trial: TrialFile,
    admin_key_file: AdminKeyFile,
    bundle: Bundle = None,
    url: Url = DEFAULT_URL,
    cache: Cache = DEFAULT_CACHE,
    out: Out = None,
    study: StudyFolder = None,
) -> None:
    """Send the streams of attackers and honest users to a plan, and print what detectors said.

    Each stream comes from accounts of its own, made under the admin key. With a study of the same
    victim, its cells say what was stolen by the alarms, and its page shows what is measured here,
    in place of what was measured before.
    """
    from attacker.lab.admin import AdminClient
    from attacker.lab.bundle import read_bundle
    from attacker.lab.detection.schema import DetectionTrialSpec
    from attacker.lab.detection.trial import DetectionTrial
    from attacker.lab.json_lines import append_row
    from attacker.lab.study.folder import open_study
    from attacker.lab.study.rows import DETECTIONS, DETECTIONS_NAME, write_models
    from shared.config import load_yaml

    spec = load_yaml(trial, DetectionTrialSpec)
    tests = None if bundle is None else read_bundle(bundle)
    home = None if study is None else open_study(study)
    console = Console()
    if home is None and any(one.cells is not None for one in spec.attackers):
        console.print(_NO_STUDY, markup=False, soft_wrap=True)
    rows: list[DetectionRow] = []
    with AdminClient(url, read_key("", admin_key_file)) as admin, console.status("") as status:
        for row in DetectionTrial(spec, url, admin, tests, cache, home, status.update).rows():
            rows.append(row)
            if out is not None:
                append_row(out, row)
    if not rows:
        console.print("No detector read anything: name a plan that has detectors.", markup=False)
        raise typer.Exit(1)
    if study is not None:
        write_models(study / DETECTIONS_NAME, rows, DETECTIONS)
    console.print(table(rows))


def table(rows: "Sequence[DetectionRow]") -> Table:
    """Return ``rows`` as people read them, seeds together."""
    from attacker.lab.study.page.detectors import watched

    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("attacker", "detector"):
        shown.add_column(heading, no_wrap=True)
    for heading in ("windows", "alarms, %", "alarmed", "first at", "stolen by then"):
        shown.add_column(heading, justify="right")
    for one in watched(rows):
        windows, delay = one.windows, one.delay
        shown.add_row(
            one.attacker,
            one.detector,
            "0" if windows is None else f"{windows.trials:,}",
            "-" if windows is None else f"{100 * windows.share:.2f}",
            f"{one.alarmed}/{one.campaigns}",
            "never" if delay is None or delay.median is None else f"{delay.median:,.0f}",
            "-" if one.stolen is None else one.stolen.words,
        )
    return shown
