"""`earshot-attacker filters`: what the filters of a network listen for, and which are alike."""

import shlex
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from attacker.commands.options import Device

if TYPE_CHECKING:
    from attacker.lab.filters.results import FilterResults

ModelA = Annotated[
    Path, typer.Argument(help="Checkpoint folder of a victim, a surrogate or a source task.")
]
ModelB = Annotated[
    Path | None, typer.Argument(help="Another one, whose filters are matched with the first's.")
]
Out = Annotated[Path, typer.Option(help="Folder of the page, the signals and the matching.")]
Layers = Annotated[
    str, typer.Option(help="Layers, separated by commas, or `all`: conv1 … conv4,embedding,head.")
]
Filters = Annotated[
    int | None,
    typer.Option(min=1, help="The first so many filters of each layer.", show_default="all"),
]
Steps = Annotated[int, typer.Option(min=1, help="Steps of an octave.")]
Octaves = Annotated[int, typer.Option(min=1, max=8, help="Octaves, each 1.8 times as long.")]
StepSize = Annotated[float, typer.Option(min=1e-4, max=1, help="Adam's step size.")]
Seed = Annotated[int, typer.Option(min=0, help="Draws the noise that signals begin as.")]
Open = Annotated[bool, typer.Option("--open", help="Show the page in a browser.")]


def filters(
    model_a: ModelA,
    model_b: ModelB = None,
    *,
    out: Out,
    layers: Layers = "conv1,conv4",
    filters: Filters = None,
    steps: Steps = 100,
    octaves: Octaves = 5,
    step_size: StepSize = 1.0,
    seed: Seed = 0,
    device: Device = "auto",
    open_: Open = False,
) -> None:
    """Maximise the filters of a model, match them with another model's, and write one page.

    Filters that are done are kept in OUT: the same command goes on where it was stopped. A model
    given twice is matched with itself from other noise: that is how well matching can do.
    """
    from attacker.lab.filters import FilterStudy, MaximiseSettings, choose_layers, load_model
    from shared.runtime import choose_device, tune_process

    tune_process()
    chosen = choose_layers(layers)
    options = {
        "--out": out,
        "--layers": ",".join(chosen),
        "--filters": filters,
        "--steps": steps,
        "--octaves": octaves,
        "--step-size": step_size,
        "--seed": seed,
    }
    study = FilterStudy(
        a=load_model(model_a),
        b=None if model_b is None else load_model(model_b),
        out=out,
        layers=chosen,
        filters=filters,
        settings=MaximiseSettings(steps=steps, octaves=octaves, step_size=step_size),
        seed=seed,
        device=choose_device(device),
        command=_command([model_a, *([model_b] if model_b else [])], options),
    )
    console = Console()
    try:
        with _progress(console) as progress:
            results, path = study.carry_out(_reporter(progress))
    except KeyboardInterrupt:
        text = f"Stopped. Finished filters are kept in {out}: the same command goes on from there."
        console.print(text, soft_wrap=True, highlight=False)
        raise typer.Exit(130) from None
    show(results, console)
    console.print(f"Page: {path}", highlight=False, soft_wrap=True, markup=False)
    if open_:
        webbrowser.open(path.resolve().as_uri())


def show(results: "FilterResults", console: Console) -> None:
    """Print a row for each layer, and what to read in them and what not."""
    from attacker.lab.filters import words

    both = results.b is not None
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("layer")
    for heading in ("filters", "set aside", "width", *(("distance", "any two") if both else ())):
        table.add_column(heading, justify="right")
    for layer in results.layers:
        sides = [side for side in (layer.a, layer.b) if side is not None]
        cells = [
            " / ".join(str(side.filters) for side in sides),
            " / ".join(str(len(side.set_aside)) for side in sides),
            " / ".join(words.hertz(side.bandwidth_hz) for side in sides),
        ]
        if both:
            cells += [words.distance(layer.median_distance), words.distance(layer.typical_distance)]
        table.add_row(layer.layer, *cells)
    console.print(table)
    for text in (words.widths(results), words.warning(results)):
        if text is not None:
            console.print(text, highlight=False, markup=False)


def _reporter(progress: Progress) -> Callable[[str, str, int], Callable[[float], None]]:
    def begin(model: str, layer: str, count: int) -> Callable[[float], None]:
        task = progress.add_task(f"{model} {layer}", total=count)
        return lambda done: progress.update(task, completed=done)

    return begin


def _command(folders: list[Path], options: dict[str, object]) -> str:
    words = ["earshot-attacker", "filters", *map(str, folders)]
    for name, value in options.items():
        if value is not None:
            words += [name, str(value)]
    return shlex.join(words)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )
