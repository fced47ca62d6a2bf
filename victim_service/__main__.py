"""``earshot-victim``: train a model, serve it, issue keys, look into the ledger."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from shared.config import load_yaml
from shared.messages import explain
from shared.runtime import tune_process
from victim_service.commands import detectors as detector_commands
from victim_service.commands import keys, ladder, ledger, top
from victim_service.commands import plans as plan_commands
from victim_service.commands import start as start_command
from victim_service.commands import watermark as watermark_command
from victim_service.commands.common import LedgerOption, PlansOption, console, read_settings
from victim_service.ledger import without_password

app = typer.Typer(
    help="The victim: train a speaker model and sell its answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(keys.app, name="keys")
app.add_typer(ladder.app, name="ladder")
app.add_typer(ledger.app, name="ledger")
app.add_typer(detector_commands.app, name="detectors")
app.add_typer(plan_commands.app, name="plans")
app.command("top")(top.top)
app.command("start")(start_command.start)
app.command("verify-watermark")(watermark_command.verify_watermark)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe YAML; see victim_service/victims.")],
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write.")],
    corpus_root: Annotated[
        Path | None, typer.Option(help="Folder of the corpus, in place of the recipe's.")
    ] = None,
    cache: Annotated[
        Path, typer.Option(envvar="EARSHOT_CACHE", help="Where decoded audio is kept.")
    ] = Path("runs/cache"),
    fresh: Annotated[bool, typer.Option(help="Train anew, whatever is there.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n.")] = "auto",
) -> None:
    """Train a victim. Run it again after an interruption: it goes on where it stopped."""
    from victim_service import train as training
    from victim_service.progress import LiveReport

    tune_process()
    plan = load_yaml(recipe, training.VictimRecipe)
    if corpus_root is not None:
        plan = plan.with_root(corpus_root)
    with LiveReport(console) as report:
        done = training.train(plan, out, cache, report, fresh=fresh, device=device)
    if done.reused:
        console.print("This victim is trained already; --fresh trains it anew.")
    console.print(f"test accuracy {done.test_accuracy}")
    console.print(f"checkpoint {done.checkpoint_id[:16]} in {out}", highlight=False)


@app.command()
def serve(
    checkpoint: Annotated[Path, typer.Argument(help="Folder that `train` made.")],
    ledger: LedgerOption = None,
    plans: PlansOption = None,
    host: Annotated[str | None, typer.Option(help="Address; loopback unless given.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
    port_file: Annotated[
        Path | None, typer.Option(help="Write the port here once the service is ready.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:n.")] = None,
) -> None:
    """Serve a checkpoint over HTTP, on loopback unless told otherwise. Serve what you own."""
    from victim_service import serve as server

    tune_process()
    settings = read_settings(ledger=ledger, plans=plans, host=host, port=port, device=device)
    sock = server.bind(settings.host, settings.port)
    parts = server.build_parts(settings, checkpoint)
    bound = sock.getsockname()[1]

    def ready() -> None:
        card = parts.card
        typer.echo(f"Earshot victim at http://{settings.host}:{bound} (Ctrl-C ends it)")
        typer.echo(
            f"checkpoint {card.checkpoint_id[:16]}: {len(card.labels)} speakers, "
            f"{card.clip_samples} samples at {card.sample_rate_hz} Hz, {parts.workers} threads"
        )
        typer.echo(parts.notice)
        typer.echo(f"ledger {without_password(settings.ledger)}")
        sys.stdout.flush()
        if port_file is not None:
            temporary = port_file.with_name(port_file.name + ".tmp")
            temporary.write_text(f"{bound}\n")
            temporary.replace(port_file)

    server.run(settings, parts, sock, ready)


def main() -> None:
    """Run the command line; what cannot go on ends in one line and exit status 1."""
    try:
        app()
    except Exception as error:
        text = explain(error)
        if text is None:
            raise
        typer.echo(f"earshot-victim: {text}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
