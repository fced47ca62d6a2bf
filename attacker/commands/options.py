"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

from attacker.errors import ExperimentError

DEFAULT_URL = "http://127.0.0.1:8765"

ExperimentFile = Annotated[Path, typer.Argument(help="Experiment YAML file.")]
Url = Annotated[str, typer.Option(envvar="EARSHOT_URL", help="Address of the victim service.")]
Key = Annotated[
    str, typer.Option(help="API key of the query scope; better in EARSHOT_KEY or --key-file.")
]
KeyFile = Annotated[Path | None, typer.Option(help="File that holds the API key.")]
Out = Annotated[
    Path | None, typer.Option(help="Run folder.", show_default="runs/<name of the experiment>")
]
ClassCounts = Annotated[
    Path | None,
    typer.Option(help="The victim's class_counts.json: grants assumption A3."),
]
ProxyRoot = Annotated[
    Path | None, typer.Option(help="Folder of the proxy corpus, in place of proxy.root.")
]
Cache = Annotated[
    Path, typer.Option(envvar="EARSHOT_CACHE", help="Where decoded corpora are kept.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:0.")]
Patience = Annotated[
    float, typer.Option(min=0.1, help="Seconds for which one request is tried again.")
]

PROXY_ROOT_VARIABLE = "EARSHOT_PROXY_ROOT"
"""Where every proxy corpus that lies in a folder is found, as in a container."""

DEFAULT_CACHE = Path("runs/cache")
DEFAULT_PATIENCE_S = 120.0


def usual_proxy_root() -> Path | None:
    """Return the folder that the environment names for proxy corpora, if any."""
    named = os.environ.get(PROXY_ROOT_VARIABLE)
    return Path(named) if named else None


def read_key(key: str, key_file: Path | None) -> str:
    """Return the API key of ``--key-file``, ``--key`` or EARSHOT_KEY, in this order.

    Raises:
        ExperimentError: there is none, or the file cannot be read.
    """
    if key_file is not None:
        try:
            key = key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ExperimentError(
                f"--key-file {key_file}: cannot be read ({type(error).__name__}). Write the key "
                "that `earshot-victim keys issue` printed into it."
            ) from error
    key = key or os.environ.get("EARSHOT_KEY", "")
    if not key:
        raise ExperimentError(
            "no API key. Issue one with `earshot-victim keys issue --plan soft --account NAME`, "
            "and give it in EARSHOT_KEY or with --key-file."
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ExperimentError("the API key holds characters that no key has. Copy it again.")
    return key
