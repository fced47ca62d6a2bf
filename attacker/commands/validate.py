"""`earshot-attacker validate`: check experiment files without asking anybody."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def validate(
    experiments: Annotated[list[Path], typer.Argument(help="Experiment YAML files.")],
) -> None:
    """Check experiment and table files: unknown keys and kinds are named with what is valid."""
    from attacker.experiment import load_experiment
    from attacker.tables.file import kind_of, load_table, profiles_of
    from attacker.waiting import counted

    console = Console()
    for path in experiments:
        if kind_of(path) == "table":
            for profile in profiles_of(path):
                table = load_table(path, profile)
                clips = len(table.seeds) * sum(row.budget for row in table.rows)
                sizes = f"{counted(len(table.rows), 'row')}, {counted(len(table.seeds), 'seed')}"
                console.print(
                    f"{path}: valid with the profile {profile}; {sizes}, "
                    f"{counted(clips, 'clip')} in all.",
                    highlight=False,
                    soft_wrap=True,
                )
            continue
        experiment = load_experiment(path)
        clips = experiment.budget * len(experiment.campaigns)
        console.print(
            f"{path}: valid; {counted(len(experiment.campaigns), 'campaign')}, "
            f"{counted(clips, 'clip')} in all.",
            highlight=False,
            soft_wrap=True,
        )
