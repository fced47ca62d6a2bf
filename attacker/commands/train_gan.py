"""`earshot-attacker train-gan`: train a WaveGAN on a proxy corpus."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from attacker.commands.options import DEFAULT_CACHE, Cache, Device
from attacker.wavegan.config import TrainGanFile
from attacker.wavegan.train import Step, train
from shared.config import load_yaml
from shared.corpora.store import ClipStore
from shared.runtime import choose_device, tune_process


def train_gan(
    config: Annotated[Path, typer.Argument(help="YAML file: corpus, sample_rate_hz, gan.")],
    out: Annotated[Path, typer.Option(help="Folder of the generator, its state and previews.")],
    steps: Annotated[
        int | None, typer.Option(min=1, help="Generator steps, in place of gan.steps.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Forget, or go on with, what OUT holds.")
    ] = False,
    cache: Cache = DEFAULT_CACHE,
    device: Device = "auto",
) -> None:
    """Train a WaveGAN on a proxy corpus; a killed training goes on where its last checkpoint is."""
    console = Console()
    try:
        _train(config, out, steps, fresh, cache, device, console)
    except KeyboardInterrupt:
        text = f"Stopped. The same command goes on from the last checkpoint in {out}."
        console.print(text, soft_wrap=True)
        raise typer.Exit(130) from None


def _train(
    config: Path,
    out: Path,
    steps: int | None,
    fresh: bool,
    cache: Path,
    device: str,
    console: Console,
) -> None:
    tune_process()
    plan = load_yaml(config, TrainGanFile)
    gan = plan.gan if steps is None else plan.gan.model_copy(update={"steps": steps})
    with _progress(console) as progress:
        corpus_task = progress.add_task("corpus", total=None, note="")

        def show_corpus(what: str, done: int, total: int) -> None:
            progress.update(corpus_task, description=what, completed=done, total=total)

        corpus = plan.corpus.build(cache, show_corpus)
        store = ClipStore.open(corpus, plan.sample_rate_hz, cache, show_corpus)
        progress.remove_task(corpus_task)
        for skipped in store.skipped:
            console.print(
                f"skipped {skipped.path}: {skipped.reason}", highlight=False, soft_wrap=True
            )
        card = train(
            gan,
            store,
            out,
            on_step=_reporter(console, progress, gan.steps),
            device=str(choose_device(device)),
            fresh=fresh,
            origin=_origin(plan, corpus.name, _command(config, out, steps)),
        )
    console.print(
        f"Generator at step {card['steps']:,} in {out}; look at {out / 'preview'}.", soft_wrap=True
    )


def _reporter(console: Console, progress: Progress, steps: int) -> Any:
    task = progress.add_task("train", total=steps, note="")

    def show(step: Step) -> None:
        note = f"distance {step.distance:.2f} penalty {step.penalty:.2f}"
        progress.update(task, completed=step.number, note=note)
        if step.findings:
            figures = "; ".join(str(finding) for finding in step.findings)
            console.print(
                f"step {step.number:,}: {note}; {figures}", highlight=False, soft_wrap=True
            )

    return show


def _origin(plan: TrainGanFile, corpus_name: str, command: str) -> dict[str, Any]:
    return {
        "command": command,
        "corpus": plan.corpus.model_dump(mode="json"),
        "corpus_name": corpus_name,
    }


def _command(config: Path, out: Path, steps: int | None) -> str:
    words = ["earshot-attacker", "train-gan", str(config), "--out", str(out)]
    return shlex.join([*words, *(["--steps", str(steps)] if steps is not None else [])])


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
