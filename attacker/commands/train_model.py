"""`earshot-attacker train-model`: train a source model, whose first layers a surrogate may use."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from attacker.commands.options import DEFAULT_CACHE, Cache, Device


def train_model(
    config: Annotated[
        Path, typer.Argument(help="YAML file: corpus, audio size, network, recipe, seed.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the model and of its training's state.")],
    cache: Cache = DEFAULT_CACHE,
    device: Device = "auto",
) -> None:
    """Train a network on a labelled corpus; a killed training goes on where it was."""
    from attacker.live import View
    from attacker.source_model import SourceTask, train_source_model
    from shared.config import load_yaml
    from shared.runtime import choose_device, tune_process
    from shared.training import Epoch

    tune_process()
    task = load_yaml(config, SourceTask)
    console = Console()
    view = View(console)

    def show(epoch: Epoch) -> None:
        accuracy = f"validation accuracy {epoch.validation_accuracy:.1%}"
        view.step("source model", epoch.number, epoch.of, accuracy)

    with view.shown():
        card = train_source_model(
            task,
            out,
            cache,
            device=choose_device(device),
            on_corpus=view.corpus,
            on_epoch=show,
        )
    console.print(
        f"Model of {len(card['labels'])} labels in {out}; "
        f"validation accuracy {card['validation_accuracy']:.1%}.",
        highlight=False,
        soft_wrap=True,
    )
