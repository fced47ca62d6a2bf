"""`earshot-attacker plan`: what a run will cost, before anything is spent."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from attacker.commands.options import (
    DEFAULT_CACHE,
    DEFAULT_PATIENCE_S,
    DEFAULT_URL,
    Cache,
    ClassCounts,
    Device,
    ExperimentFile,
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
    from attacker.experiment import Experiment
    from attacker.plan import CampaignForecast, Forecast
    from attacker.run_folder import RunFolder
    from shared.contract import AccountStatus, ModelCard


def plan(
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
    victim_folder: VictimFolder = None,
) -> None:
    """Print queries, price, time and disk of an experiment or a table; nothing is spent."""
    secrets = read_keys(key, key_file)
    name_victim_folder(victim_folder)
    from attacker.tables.file import kind_of

    if kind_of(experiment) == "table":
        from attacker.commands.plan_table import plan_table
        from attacker.commands.run_table import table_runner

        demand_options("a table", {"--class-counts": class_counts, "--proxy-root": proxy_root})
        asked = (experiment, profile, out, url, secrets, cache, device, patience_s)
        plan_table(table_runner(*asked))
        return
    demand_options("an experiment", {"--profile": profile})
    from attacker.experiment import load_experiment
    from attacker.run_folder import RunFolder

    loaded = load_experiment(
        experiment,
        class_counts=class_counts,
        proxy_root=proxy_root,
        usual_root=usual_proxy_root(),
    )
    folder = RunFolder(out or Path("runs") / loaded.name)
    _plan(loaded, folder, url, secrets, cache, device, patience_s)


def _plan(
    experiment: "Experiment",
    folder: "RunFolder",
    url: str,
    keys: tuple[str, ...],
    cache: Path,
    device: str,
    patience_s: float,
) -> None:
    from attacker.live import View
    from attacker.plan import forecast
    from shared.runtime import choose_device, tune_process

    tune_process()
    console = Console()
    view = View(console)
    with view.shown():
        found = forecast(
            experiment,
            url,
            keys,
            cache,
            folder=folder,
            patience_s=patience_s,
            device=str(choose_device(device)),
            on_corpus=view.corpus,
            on_note=view.note,
        )
    _show(console, found, folder)


def _show(console: Console, found: "Forecast", folder: "RunFolder") -> None:
    from attacker.waiting import show_duration

    account = found.account
    table = Table("campaign", box=box.SIMPLE)
    for heading in ("queries", "price", "rate, at least", "making", "training", "disk"):
        table.add_column(heading, justify="right")
    for row in found.campaigns:
        table.add_row(row.name, *_cells(row))
    console.print(table)
    lines = [
        f"In all {found.queries:,} queries at {account.price_per_clip:g} each: "
        f"{found.queries * account.price_per_clip:,.2f}, sent {found.batch_clips} a request.",
        account_line(account, found.card),
        "Training: at most "
        f"{show_duration(sum(row.training_s for row in found.campaigns))}, measured on this "
        "machine.",
        f"Written into {folder.path}: experiment.yaml, run.json, and for each campaign its "
        "journal, events and surrogates.",
        "Nothing was spent.",
    ]
    if found.missing:
        lines.insert(
            2,
            f"The account is {found.missing:,} clips short: the run will stop when it is "
            "exhausted, and train on what it bought.",
        )
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def account_line(account: "AccountStatus", card: "ModelCard") -> str:
    """Return under which plan the account buys, and what it has left."""
    left = (
        "no budget limit."
        if account.remaining is None
        else f"{account.remaining:,} of {account.budget:,} clips left."
    )
    return f"Account {account.account}, plan {account.plan} ({card.label_mode} labels): {left}"


def _cells(row: "CampaignForecast") -> list[str]:
    from attacker.waiting import show_duration

    return [
        f"{row.queries:,}",
        f"{row.price:,.2f}",
        show_duration(row.least_s),
        show_duration(row.making_s),
        show_duration(row.training_s),
        f"{row.disk_bytes / 1e6:,.1f} MB",
    ]
