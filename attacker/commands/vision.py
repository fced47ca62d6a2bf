"""`earshot-attacker vision`: the vision control of figure 1, on any two folders of images."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from attacker.commands.options import DEFAULT_CACHE, Cache, Device

if TYPE_CHECKING:
    from attacker.lab.vision.results import Mean, VisionResults

FileArgument = Annotated[Path, typer.Argument(help="YAML file of the control.")]
VictimImages = Annotated[
    Path, typer.Option(help="Images of the victim's task: <class>/*.png or *.jpg.")
]
ProxyImages = Annotated[
    Path, typer.Option(help="Images of the proxy's task, which the victim is asked about.")
]
OutFolder = Annotated[Path, typer.Option(help="Folder of models, cells and results.")]
Profile = Annotated[
    str, typer.Option(help="Size: paper is the file as it stands, others are under `profiles`.")
]


def vision(
    file: FileArgument,
    victim_images: VictimImages,
    proxy_images: ProxyImages,
    out: OutFolder,
    profile: Profile = "paper",
    cache: Cache = DEFAULT_CACHE,
    device: Device = "auto",
) -> None:
    """Extract an image classifier that is partly known already, in this process.

    A victim service answers speech alone, so nothing is bought here: this is a control of the
    laboratory. What OUT holds is not trained again, so the same command resumes.
    """
    console = Console()
    try:
        results, page = _carry_out(
            file, victim_images, proxy_images, out, profile, cache, device, console
        )
    except KeyboardInterrupt:
        text = f"Stopped. The same command goes on from the last saved epoch in {out}."
        console.print(text, soft_wrap=True)
        raise typer.Exit(130) from None
    show(results, console)
    console.print(f"Report: {page}", highlight=False, soft_wrap=True, markup=False)


def _carry_out(
    file: Path,
    victim_images: Path,
    proxy_images: Path,
    out: Path,
    profile: str,
    cache: Path,
    device: str,
    console: Console,
) -> "tuple[VisionResults, Path]":
    from attacker.lab.vision.control import Control
    from attacker.lab.vision.experiment import load_vision
    from attacker.lab.vision.images import open_images
    from shared.runtime import choose_device, tune_process

    tune_process()
    experiment = load_vision(file, profile)
    with console.status("reading images") as status:

        def progress(what: str, done: int, total: int) -> None:
            status.update(f"{what}: {done:,} of {total:,}")
            if done == total:
                console.print(f"{what}: done", highlight=False, soft_wrap=True)

        side_px = experiment.image_side_px
        victim = open_images(victim_images, side_px, cache, progress)
        proxy = open_images(proxy_images, side_px, cache, progress)
        control = Control(experiment, victim, proxy, out, choose_device(device))
        return control.carry_out(progress, sys.argv[1:])


def show(results: "VisionResults", console: Console) -> None:
    """Print the curves as a table, and what they say in words."""
    from attacker.lab.report.words import percent, points
    from attacker.lab.vision.words import headline, notes, points_spread

    victim = results.victim
    title = (
        f"{results.name}: the victim is right on {percent(victim.accuracy.value)} of "
        f"{victim.test_images:,} test images"
    )
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("layers", no_wrap=True)
    for heading in ("k", "accuracy, %", "fidelity, %", "over k = 0"):
        table.add_column(heading, justify="right", no_wrap=True)
    for curve in results.curves:
        for point in curve.points:
            gain = point.from_nothing
            over = "" if gain is None else f"{points(gain.value)} [dim]({points_spread(gain)})[/]"
            shares = (_share(point.accuracy), _share(point.fidelity))
            table.add_row(curve.source, str(point.first_layers), *shares, over)
    console.print(table)
    said = headline(results)
    for text in (said.finding, said.verdict, *notes(results)):
        console.print(text, highlight=False, markup=False)


def _share(mean: "Mean") -> str:
    figure = f"{100 * mean.value:.1f}"
    if mean.low is None or mean.high is None:
        return figure
    return f"{figure} [dim]({100 * mean.low:.1f}-{100 * mean.high:.1f})[/]"
