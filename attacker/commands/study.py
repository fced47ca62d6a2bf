"""`earshot-attacker study STUDY`: plans, attackers and budgets against a live victim."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from attacker.commands.cells import run_cells
from attacker.commands.options import (
    DEFAULT_CACHE,
    DEFAULT_PATIENCE_S,
    DEFAULT_PROFILE,
    DEFAULT_URL,
    Cache,
    Device,
    Patience,
    Url,
    usual_proxy_root,
)
from attacker.errors import ExperimentError
from attacker.waiting import show_duration

if TYPE_CHECKING:
    from attacker.lab.study.run import StudyRunner

DEFAULT_OUT = Path("runs/studies")


RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Run the cells on this Ray cluster: HOST:PORT, `auto`, or `local` workers.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(help="Run the cells of this pattern, as in 'noise-*-s0'; may be repeated."),
]
AdminKeyFile = Annotated[
    Path | None,
    typer.Option(help="File that holds the admin key; or give it in EARSHOT_ADMIN_KEY."),
]
AuditKeyFile = Annotated[
    Path | None,
    typer.Option(help="File that holds the audit key; or give it in EARSHOT_AUDIT_KEY."),
]


def study(
    path: Annotated[Path, typer.Argument(metavar="STUDY", help="Study YAML file.")],
    bundle: Annotated[
        Path, typer.Option(help="Evaluation bundle: `bundle` in the victim's checkpoint folder.")
    ],
    url: Url = DEFAULT_URL,
    admin_key_file: AdminKeyFile = None,
    audit_key_file: AuditKeyFile = None,
    out: Annotated[Path, typer.Option(help="Folder of all studies.")] = DEFAULT_OUT,
    profile: Annotated[str, typer.Option(help="Sizes, one of its profiles.")] = DEFAULT_PROFILE,
    jobs: Annotated[int, typer.Option(min=1, help="Cells that run side by side.")] = 1,
    only: Only = None,
    tag: Annotated[
        str, typer.Option(help="Put into the names of accounts: several runs on one ledger.")
    ] = "",
    ray: RayAddress = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Show the cells and what is left of them; buy nothing.")
    ] = False,
    cache: Cache = DEFAULT_CACHE,
    device: Device = "auto",
    patience_s: Patience = DEFAULT_PATIENCE_S,
) -> None:
    """Run every cell of a study under a key of its own, and write one row a cell.

    Needs a key of scope admin, which makes plans and keys, and one of scope audit, which measures.
    What is done is not run again, so the same command goes on.
    """
    from attacker.lab.study.file import load_study
    from attacker.lab.study.run import StudyRunner

    runner = StudyRunner(
        study=load_study(path, profile, usual_proxy_root()),
        profile=profile,
        out=out,
        url=url,
        admin_key=_key("admin", admin_key_file, "EARSHOT_ADMIN_KEY"),
        audit_key=_key("audit", audit_key_file, "EARSHOT_AUDIT_KEY"),
        bundle=bundle,
        cache=cache,
        device=device,
        patience_s=patience_s,
        jobs=jobs,
        tag=tag,
        only=tuple(only or ()),
    )
    if list_:
        _list(runner)
    elif ray is not None:
        from attacker.cells.ray_jobs import ray_cluster

        with ray_cluster(ray, jobs) as launch:
            _run(replace(runner, launch=launch))
    else:
        _run(runner)


def _list(runner: "StudyRunner") -> None:
    from attacker.lab.study.forecast import forecast
    from shared.runtime import choose_device, tune_process

    tune_process()
    card = runner.card()
    cells = runner.choose(runner.placed(runner.home(card)))
    found = forecast(cells, card, str(choose_device(runner.device)))
    console = Console()
    table = Table("cell", "", box=box.SIMPLE)
    for heading in ("queries", "price", "training"):
        table.add_column(heading, justify="right")
    for one in found.cells:
        figures = (f"{one.queries:,}", f"{one.money:,.2f}", show_duration(one.training_s))
        table.add_row(one.cell, one.standing, *(figures if one.queries or one.training_s else ()))
    console.print(table)
    lines = [
        f"{len(found.cells)} cells: {found.count('done')} done, {found.count('shared')} equal one "
        f"above and cost nothing, {found.count('begun') + found.count('waiting')} to run.",
        f"In all {found.queries:,} queries at {found.money:,.2f}, and at most "
        f"{show_duration(found.training_s)} of training, measured on this machine with all its "
        "processors; buying, measuring and starting the cells come on top.",
        "Nothing was spent.",
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _run(runner: "StudyRunner") -> None:
    def ending(folder: Path) -> str:
        return f"The rows are in {folder}; show them with: earshot-attacker report study {folder}"

    run_cells(runner, "cells", ending)


def _key(scope: str, file: Path | None, variable: str) -> str:
    """Return the key of a file or of the environment.

    Raises:
        ExperimentError: there is none, or the file cannot be read.
    """
    key = os.environ.get(variable, "")
    if file is not None:
        try:
            key = file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ExperimentError(
                f"--{scope}-key-file {file}: cannot be read ({type(error).__name__}). Write the "
                f"key that `earshot-victim keys issue --scope {scope}` printed into it."
            ) from error
    if not (key and key.isascii() and key.isprintable()):
        raise ExperimentError(
            f"no {scope} key. Issue one with `earshot-victim keys issue --scope {scope} --account "
            f"laboratory`, and give it in {variable} or with --{scope}-key-file."
        )
    return key
