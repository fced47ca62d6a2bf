"""`earshot-attacker honest`: what honest users lose to each plan."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from attacker.commands.options import DEFAULT_URL, StudyFolder, Url, read_key
from attacker.errors import ExperimentError

if TYPE_CHECKING:
    from attacker.lab.benign.loss import HonestRow
    from shared.honest import UserSpec

Plans = Annotated[
    list[str] | None,
    typer.Argument(
        help="Plans that the victim sells; with --study, ids of the study's, or ID/MODE.",
        show_default="with --study all of the study's",
    ),
]
Bundle = Annotated[
    Path, typer.Option(help="Evaluation bundle of the victim: the folder in its checkpoint.")
]
AdminKeyFile = Annotated[
    Path, typer.Option(help="File with a key of scope admin, which issues each user a key.")
]
AuditKeyFile = Annotated[
    Path, typer.Option(help="File with a key of scope audit, which asks the model itself.")
]
Users = Annotated[
    str, typer.Option(help="Kinds of users, with commas between.", show_default="all of them")
]
Clips = Annotated[int, typer.Option(min=1, max=1_000_000, help="Clips that each user sends.")]
Rate = Annotated[
    float, typer.Option(min=0.01, max=10_000, help="Clips a second of a user; Poisson arrivals.")
]
BatchClips = Annotated[int, typer.Option(min=1, max=4096, help="Clips of one request.")]
Seeds = Annotated[int, typer.Option(min=1, max=1000, help="Users of each kind.")]
Patience = Annotated[
    float, typer.Option(min=0.1, help="Seconds after which a user gives one request up.")
]
Out = Annotated[Path | None, typer.Option(help="JSON lines file; rows are appended to it.")]


def honest(
    bundle: Bundle,
    admin_key_file: AdminKeyFile,
    audit_key_file: AuditKeyFile,
    plans: Plans = None,
    url: Url = DEFAULT_URL,
    users: Users = "",
    clips: Clips = 500,
    rate: Rate = 20.0,
    batch_clips: BatchClips = 1,
    seeds: Seeds = 1,
    patience_s: Patience = 30.0,
    out: Out = None,
    study: StudyFolder = None,
) -> None:
    """Send honest traffic under each plan, and print what the users lost.

    Every user has an account of its own. Each clip is asked three times: under the plan, under a
    plan without defences whose latency is compared, and under the audit key for the model's own
    answer. The plan `undefended` is put into the victim's ledger for it.
    """
    from attacker.lab.admin import AdminClient
    from attacker.lab.benign.drive import Traffic
    from attacker.lab.benign.measure import HonestTrial
    from attacker.lab.bundle import read_bundle
    from attacker.lab.json_lines import append_row
    from attacker.lab.study.rows import HONEST, HONEST_NAME, write_models

    chosen = choose_users(users)
    users_of_a_plan = len(chosen) * seeds
    traffic = Traffic(clips, rate, batch_clips, patience_s)
    audit, tests = read_key("", audit_key_file), read_bundle(bundle)
    sold, name = _plans(plans or [], study, tests.checkpoint)
    console = Console()
    rows: list[HonestRow] = []
    with AdminClient(url, read_key("", admin_key_file)) as admin:
        trial = HonestTrial(url, admin, audit, tests, traffic, name)
        for row in trial.rows(sold, chosen, range(seeds)):
            rows.append(row)
            if out is not None:
                append_row(out, row)
            if len(rows) % users_of_a_plan == 0:
                console.print(table(rows[-users_of_a_plan:]))
    if study is not None:
        write_models(study / HONEST_NAME, rows, HONEST)


def _plans(named: Sequence[str], study: Path | None, victim: str) -> tuple[Sequence[str], str]:
    """Return the names of the plans that are measured, and that of their study.

    Raises:
        ExperimentError: no plan is named, the study does not sell it, or is of another ``victim``.
    """
    from attacker.lab.study.folder import open_study

    if study is not None:
        found = open_study(study)
        found.demand_victim(victim, who="that of the bundle")
        return found.sold(named), found.manifest.text("study", "name") or ""
    if not named:
        raise ExperimentError(
            "no plan. Name plans that the victim sells, or with --study the folder of a study, "
            "whose plans are then measured."
        )
    return named, ""


def choose_users(named: str) -> "Sequence[UserSpec]":
    """Return the users that ``named`` names with commas between; all of them by default.

    Raises:
        ExperimentError: there is no such kind.
    """
    from shared.honest import USERS

    kinds = [word.strip().replace("-", "_") for word in named.split(",") if word.strip()]
    for kind in kinds:
        if kind not in USERS:
            raise ExperimentError(
                f"--users: there is no user {kind!r}. Name one or more of {', '.join(USERS)}."
            )
    return [USERS[kind].model_validate({}) for kind in kinds or USERS]


def table(rows: "Sequence[HonestRow]") -> Table:
    """Return the ``rows`` of one plan as people read them, the undefended figures in brackets."""
    shown = Table(
        title=rows[0].plan, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False
    )
    shown.add_column("user", overflow="fold")
    for heading in ("answered", "accuracy, %", "ECE", "L1", "p50, ms", "p99, ms", "alarms"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(
            f"{row.user} {row.seed}",
            f"{row.answered:,}/{row.clips:,}",
            _pair(row.accuracy, row.victim_accuracy, 100, 1),
            _pair(row.ece, row.victim_ece, 1, 2),
            "-" if row.l1 is None else f"{row.l1:.3f}",
            _pair(row.p50_ms, row.base_p50_ms, 1, 0),
            _pair(row.p99_ms, row.base_p99_ms, 1, 0),
            f"{row.alarms}/{row.windows}",
        )
    return shown


def _pair(value: float | None, base: float | None, scale: float, decimals: int) -> str:
    if value is None or base is None:
        return "-"
    return f"{value * scale:.{decimals}f} [dim]({base * scale:.{decimals}f})[/]"
