"""``earshot-victim start``: from nothing to a service that sells, as a container does it.

Train the victim if there is none, issue the keys of the laboratory once, hand them over, serve. A
lock lets replicas that start together on one folder do the first steps one after the other.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from shared.config import load_yaml
from shared.contract import Scope
from shared.corpora import CorpusError
from shared.runtime import tune_process
from victim_service import keys as api_keys
from victim_service.commands.common import (
    LedgerOption,
    PlansOption,
    console,
    read_settings,
    with_ledger,
)
from victim_service.commands.keys import check_plan
from victim_service.errors import StartError
from victim_service.ledger import Ledger
from victim_service.settings import PACKAGE, Settings

CHECKPOINT_NAME = "victim"
ATTACKER_KEY, AUDIT_KEY, ADMIN_KEY = "attacker.key", "audit.key", "admin.key"
_LOCK_NAME = ".start.lock"


@dataclass(frozen=True)
class _Wanted:
    """A key that somebody is to find in a file."""

    path: Path
    account: str
    scope: Scope
    plan: str | None = None
    budget: int | None = None


def start(
    data: Annotated[
        Path, typer.Option(envvar="VICTIM_DATA", help="Folder of the victim, its cache and lock.")
    ],
    attacker: Annotated[
        Path, typer.Option(envvar="VICTIM_ATTACKER_FOLDER", help="Receives the attacker's key.")
    ],
    lab: Annotated[
        Path, typer.Option(envvar="VICTIM_LAB_FOLDER", help="Receives audit key and bundle.")
    ],
    observe: Annotated[
        str, typer.Option(envvar="VICTIM_OBSERVE_FOLDER", help="Receives an admin key, if named.")
    ] = "",
    recipe: Annotated[
        Path, typer.Option(envvar="VICTIM_RECIPE", help="Recipe YAML of the victim.")
    ] = PACKAGE / "victims" / "demo.yaml",
    corpus_root: Annotated[
        str,
        typer.Option(envvar="VICTIM_CORPUS_ROOT", help="Folder of a corpus that lies in one."),
    ] = "",
    corpus_hint: Annotated[
        str,
        typer.Option(
            envvar="VICTIM_CORPUS_HINT", hidden=True, help="Said where the corpus is of no use."
        ),
    ] = "",
    plan: Annotated[
        str, typer.Option(envvar="VICTIM_ATTACKER_PLAN", help="Plan of the attacker's key.")
    ] = "demo",
    budget: Annotated[
        int, typer.Option(envvar="VICTIM_ATTACKER_BUDGET", min=0, help="Clips it may ever buy.")
    ] = 2400,
    ledger: LedgerOption = None,
    plans: PlansOption = None,
) -> None:
    """Train what is missing, hand over the keys, and serve. Again, it serves at once."""
    tune_process()
    settings = read_settings(ledger=ledger, plans=plans)
    checkpoint = data / CHECKPOINT_NAME
    wanted = [
        _Wanted(attacker / ATTACKER_KEY, "attacker", "query", plan, budget),
        _Wanted(lab / AUDIT_KEY, "laboratory", "audit"),
    ]
    if observe:
        wanted.append(_Wanted(Path(observe) / ADMIN_KEY, "observers", "admin"))
    with _one_at_a_time(data):
        try:
            _train_once(recipe, corpus_root, checkpoint, data / "cache")
        except CorpusError as error:
            raise CorpusError(f"{error} {corpus_hint}".rstrip()) from error
        with_ledger(
            settings,
            lambda store: _hand_over(store, settings, wanted),
            create=True,
        )
        _copy_bundle(checkpoint, lab)
    from victim_service.__main__ import serve

    serve(checkpoint, ledger=ledger, plans=plans)


@contextlib.contextmanager
def _one_at_a_time(data: Path) -> Iterator[None]:
    try:
        data.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartError(
            f"{data}: {error.strerror}. Let user {os.getuid()} write there, or name another folder."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _train_once(recipe: Path, corpus_root: str, checkpoint: Path, cache: Path) -> None:
    from shared import checkpoint as checkpoints
    from victim_service import train as training
    from victim_service.bundle import CLASS_COUNTS_NAME
    from victim_service.progress import LiveReport

    wanted = load_yaml(recipe, training.VictimRecipe)
    if (checkpoint / CLASS_COUNTS_NAME).is_file():  # the last file that a training writes
        _, card = checkpoints.load(checkpoint)
        if card.get("name") != wanted.name:
            raise StartError(
                f"{checkpoint} holds the victim {card.get('name')!r}, and {recipe} makes "
                f"{wanted.name!r}. Name another folder of data, or remove this one."
            )
        return
    if corpus_root and hasattr(wanted.corpus, "root"):
        wanted = wanted.with_root(Path(corpus_root))
    with LiveReport(console) as report:
        done = training.train(wanted, checkpoint, cache, report)
    console.print(f"test accuracy {done.test_accuracy}")


async def _hand_over(store: Ledger, settings: Settings, wanted: list[_Wanted]) -> None:
    """Write the keys that are not there yet, or that this ledger does not know."""
    for one in wanted:
        if await _known(store, one.path):
            continue
        if one.plan is not None:
            await check_plan(store, settings, one.plan)
        key, _ = await api_keys.issue_into(
            store, one.account, one.plan, one.scope, budget=one.budget
        )
        _write_key(one.path, key)


async def _known(store: Ledger, path: Path) -> bool:
    try:
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return False
    key_id = api_keys.id_of(key)
    record = None if key_id is None else await store.key(key_id)
    return record is not None and record.state == "valid"


def _write_key(path: Path, key: str) -> None:
    draft = path.with_name(f".{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(key + "\n")
        draft.replace(path)
    except OSError as error:
        raise StartError(
            f"{path}: {error.strerror}. Let user {os.getuid()} write there, or name another folder."
        ) from error


def _copy_bundle(checkpoint: Path, lab: Path) -> None:
    """Copy the evaluation bundle to those who measure, its card last, unless it is there."""
    from victim_service.bundle import BUNDLE_FOLDER, BUNDLE_NAME

    source, target = checkpoint / BUNDLE_FOLDER, lab / BUNDLE_FOLDER
    card = (source / BUNDLE_NAME).read_bytes()
    if (target / BUNDLE_NAME).is_file() and (target / BUNDLE_NAME).read_bytes() == card:
        return
    target.mkdir(parents=True, exist_ok=True)
    (target / BUNDLE_NAME).unlink(missing_ok=True)
    for path in sorted(source.iterdir(), key=lambda path: path.name == BUNDLE_NAME):
        shutil.copyfile(path, target / path.name)
