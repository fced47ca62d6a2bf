"""`earshot-attacker run` and `resume`: buy every campaign, then train every surrogate."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from attacker.commands.options import (
    DEFAULT_CACHE,
    DEFAULT_PATIENCE_S,
    DEFAULT_URL,
    Cache,
    ClassCounts,
    Device,
    ExperimentFile,
    Jobs,
    Key,
    KeyFile,
    Out,
    Patience,
    Profile,
    ProxyRoot,
    Url,
    VictimFolder,
    demand_options,
    name_victim_folder,
    read_keys,
    usual_proxy_root,
)

if TYPE_CHECKING:
    from attacker.theft import Theft


def run(
    experiment: ExperimentFile,
    url: Url = DEFAULT_URL,
    key: Key = "",
    key_file: KeyFile = None,
    out: Out = None,
    class_counts: ClassCounts = None,
    proxy_root: ProxyRoot = None,
    cache: Cache = DEFAULT_CACHE,
    device: Device = "auto",
    patience_s: Patience = DEFAULT_PATIENCE_S,
    profile: Profile = None,
    jobs: Jobs = None,
    victim_folder: VictimFolder = None,
) -> None:
    """Run all campaigns of an experiment and train their surrogates; or all cells of a table.

    What the run folder already holds is not bought or trained again, so the same command resumes.
    """
    from attacker.tables.file import kind_of

    name_victim_folder(victim_folder)
    if kind_of(experiment) == "table":
        from attacker.commands.run_table import run_table, table_runner

        demand_options("a table", {"--class-counts": class_counts, "--proxy-root": proxy_root})
        secrets = read_keys(key, key_file)
        asked = (experiment, profile, out, url, secrets, cache, device, patience_s, jobs)
        run_table(table_runner(*asked))
        return
    demand_options("an experiment", {"--profile": profile, "--jobs": jobs})
    from attacker.experiment import load_experiment
    from attacker.run_folder import RunFolder
    from attacker.theft import Theft

    loaded = load_experiment(
        experiment,
        class_counts=class_counts,
        proxy_root=proxy_root,
        usual_root=usual_proxy_root(),
    )
    folder = RunFolder(out or Path("runs") / loaded.name)
    secrets = read_keys(key, key_file)
    theft = Theft(loaded, folder, url, secrets, cache, device, patience_s)
    _carry_out(theft, sys.argv[1:])


def resume(
    folder: Annotated[Path, typer.Argument(help="Run folder.")],
    url: Url = DEFAULT_URL,
    key: Key = "",
    key_file: KeyFile = None,
    cache: Cache = DEFAULT_CACHE,
    device: Device = "auto",
    patience_s: Patience = DEFAULT_PATIENCE_S,
) -> None:
    """Go on with a run that was interrupted; nothing is paid for twice."""
    from attacker.experiment import load_experiment
    from attacker.run_folder import RunFolder
    from attacker.theft import Theft

    place = RunFolder(folder)
    place.demand_run()
    loaded = load_experiment(place.experiment_path)
    secrets = read_keys(key, key_file)
    theft = Theft(loaded, place, url, secrets, cache, device, patience_s)
    _carry_out(theft, sys.argv[1:])


def _carry_out(theft: "Theft", argv: Sequence[str]) -> None:
    from attacker.live import View

    console = Console()
    view = View(console)
    try:
        with view.shown():
            theft.carry_out(view, argv)
    except KeyboardInterrupt:
        console.print(
            f"Stopped; all that was bought is kept. Go on with: earshot-attacker resume "
            f"{theft.folder.path} --url {theft.url}",
            soft_wrap=True,
            highlight=False,
        )
        raise typer.Exit(130) from None
    from attacker.commands.status import show

    show(console, theft.folder)
    console.print(
        f"Measure it with: earshot-attacker report {theft.folder.path} --bundle VICTIM/bundle",
        soft_wrap=True,
        highlight=False,
    )
