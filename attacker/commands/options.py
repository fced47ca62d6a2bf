"""Options that several commands share."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from attacker.errors import ExperimentError
from attacker.tables import VICTIM_VARIABLE

DEFAULT_URL = "http://127.0.0.1:8765"

ExperimentFile = Annotated[Path, typer.Argument(help="Experiment or table YAML file.")]
Url = Annotated[str, typer.Option(envvar="EARSHOT_URL", help="Address of the victim service.")]
Key = Annotated[
    str, typer.Option(help="API key of the query scope; better in EARSHOT_KEY or --key-file.")
]
KeyFile = Annotated[
    Path | None, typer.Option(help="File with the API key, or one a line: a Sybil's.")
]
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
Profile = Annotated[
    str | None,
    typer.Option(help="Sizes of a table, one of its profiles.", show_default="desk"),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Cells of a table that run side by side.", show_default="1"),
]
VictimFolder = Annotated[
    Path | None,
    typer.Option(
        help="The victim's checkpoint folder, for what a table is granted of it; also in "
        "EARSHOT_VICTIM."
    ),
]
Cache = Annotated[
    Path, typer.Option(envvar="EARSHOT_CACHE", help="Where decoded corpora are kept.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:0.")]
Patience = Annotated[
    float,
    typer.Option(
        min=0.1,
        help="Seconds for which one request is tried again, and the longest wait for a rate.",
    ),
]
StudyFolder = Annotated[
    Path | None,
    typer.Option("--study", help="Folder of a study, whose page is to show what was measured."),
]

PROXY_ROOT_VARIABLE = "EARSHOT_PROXY_ROOT"
"""Where every proxy corpus that lies in a folder is found, as in a container."""

DEFAULT_CACHE = Path("runs/cache")
DEFAULT_PATIENCE_S = 120.0
DEFAULT_PROFILE = "desk"


def usual_proxy_root() -> Path | None:
    """Return the folder that the environment names for proxy corpora, if any."""
    named = os.environ.get(PROXY_ROOT_VARIABLE)
    return Path(named) if named else None


def name_victim_folder(folder: Path | None) -> None:
    """Let ``$EARSHOT_VICTIM`` in the paths of experiments mean ``folder``, where one is given."""
    if folder is not None:
        os.environ[VICTIM_VARIABLE] = str(folder)


def demand_options(what: str, options: Mapping[str, object]) -> None:
    """Refuse options that mean nothing for ``what`` the file is.

    Raises:
        ExperimentError: one of them was given.
    """
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ExperimentError(
            f"{', '.join(given)}: not for {what}. Leave it out, or name another kind of file."
        )


def read_key(key: str, key_file: Path | None) -> str:
    """Return the API key of ``--key-file``, ``--key`` or EARSHOT_KEY, in this order.

    Raises:
        ExperimentError: there is none, or the file cannot be read.
    """
    if key_file is not None:
        key = _read(key_file)
    return _sound(key or os.environ.get("EARSHOT_KEY", ""))


def read_keys(key: str, key_file: Path | None) -> tuple[str, ...]:
    """Return the API keys of a Sybil: the lines of ``--key-file``, or those of EARSHOT_KEYS.

    Without either they are the one that :func:`read_key` finds.

    Raises:
        ExperimentError: there is none, or the file cannot be read.
    """
    text = _read(key_file) if key_file is not None else key or os.environ.get("EARSHOT_KEYS", "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return tuple(_sound(line) for line in lines) or (read_key(key, key_file),)


def _read(key_file: Path) -> str:
    try:
        return key_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(
            f"--key-file {key_file}: cannot be read ({type(error).__name__}). Write the key "
            "that `earshot-victim keys issue` printed into it."
        ) from error


def _sound(key: str) -> str:
    if not key:
        raise ExperimentError(
            "no API key. Issue one with `earshot-victim keys issue --plan soft --account NAME`, "
            "and give it in EARSHOT_KEY or with --key-file."
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ExperimentError("the API key holds characters that no key has. Copy it again.")
    return key
