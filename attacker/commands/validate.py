"""`earshot-attacker validate`: check experiment files without asking anybody."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def validate(
    experiments: Annotated[list[Path], typer.Argument(help="Experiment YAML files.")],
) -> None:
    """Check experiment files: unknown keys and kinds are named with what is valid."""
    from attacker.experiment import load_experiment

    console = Console()
    for path in experiments:
        experiment = load_experiment(path)
        clips = experiment.budget * len(experiment.campaigns)
        console.print(
            f"{path}: valid; {len(experiment.campaigns)} campaigns, {clips:,} clips in all.",
            highlight=False,
            soft_wrap=True,
        )
