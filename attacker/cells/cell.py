"""One cell: an ordinary experiment, the folder that its content names, and its mark of completion.

A cell knows nothing of the table or study that asks for it, so two that ask for the same experiment
share one folder, and it is paid for once.
"""

import hashlib
import json
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from attacker.errors import CellUnfinished, JournalError
from attacker.experiment import Experiment
from attacker.journal import JOURNAL_NAME, Journal
from attacker.run_folder import RunFolder
from attacker.surrogate import FEWEST_CLIPS
from shared import checkpoint

DONE_NAME = "done.json"
_WHOLE = ("budget-spent", "caps-met")
_RICHER = "Give a key whose account buys the rest, and run the same command again."
_ADVICE = {
    "out-of-patience": "Run the same command again when the plan sells more (the job's log says "
    "when), or with a longer --patience-s."
}
_START_S, _LABELS_PER_S, _CLIPS_PER_S = 8.0, 600.0, 270.0
"""Speeds of two processors at desk size: they weigh cells against one another, no more."""
_VERSION = 1
"""Part of every identity: raise it with any change of what an experiment does, such as that of a
default, for cells that were finished before are then others."""


def content_hash(facts: Any) -> str:
    """Return 12 hexadecimal digits that name the JSON data ``facts``."""
    text = json.dumps([_VERSION, facts], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def essence(model: BaseModel) -> dict[str, Any]:
    """Return what a configuration says, without what it leaves at its default.

    A later version may have more settings: one that it is silent about changes no identity.
    """
    full, said = (model.model_dump(mode="json", exclude_defaults=lean) for lean in (False, True))
    return dict(_with_kinds(full, said))


def experiment_hash(facts: dict[str, Any]) -> str:
    """Return the identity of an experiment's :func:`essence`, whatever it is called."""
    return content_hash({name: value for name, value in facts.items() if name != "name"})


@dataclass(frozen=True)
class Cell:
    """An experiment of one seed, and the name under which its result is kept."""

    name: str
    identity: str
    """What :func:`experiment_hash` said of it, with the identities of what it is made from."""
    experiment: Experiment
    needs: tuple[str, ...] = ()
    """Names of the jobs that make what it is made from."""

    @property
    def cost_s(self) -> float:
        """About how long it takes, against other cells."""
        trained = sum(self.experiment.planned_marks) * self.experiment.surrogate.recipe.epochs
        return _START_S + self.experiment.budget / _LABELS_PER_S + trained / _CLIPS_PER_S

    def folder(self, cells: Path) -> Path:
        """Return its folder below ``cells``; see :func:`place_of`."""
        return place_of(cells, self.name, self.identity)


def place_of(parent: Path, name: str, identity: str) -> Path:
    """Return the folder in ``parent`` of what has ``identity``: ``<name>-<identity>``.

    One that was begun under another name is used as it is; a finished one is preferred.
    """
    found = sorted(parent.glob(f"*-{identity}"), key=lambda path: (not is_done(path), path))
    return found[0] if found else parent / f"{name}-{identity}"


def is_done(folder: Path) -> bool:
    """Whether the cell or the ingredient in ``folder`` is finished."""
    return (folder / DONE_NAME).is_file()


def read_done(folder: Path) -> dict[str, Any]:
    """Return what was noted when the cell in ``folder`` was finished."""
    data = json.loads((folder / DONE_NAME).read_text(encoding="utf-8"))
    return dict(data)


def cut_short(folder: Path) -> str:
    """Return why campaigns of the finished ``folder`` ended before their budget did, in words.

    It is empty where none did, and where nothing is noted of it.
    """
    with suppress(OSError, ValueError, KeyError):
        found = [one for one in read_done(folder).values() if isinstance(one, dict)]
        early = [one for one in found if one.get("ended", _WHOLE[0]) not in _WHOLE]
        return ", ".join(
            f"{one['ended'].replace('-', ' ')} after {one['bought']:,} clips" for one in early
        )
    return ""


def mark_done(folder: Path, facts: dict[str, Any]) -> None:
    """Note that ``folder`` is finished; nothing in it is run again."""
    data = {**facts, "finished_at": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    checkpoint.write_atomically(folder / DONE_NAME, text.encode())


def inspect(folder: Path, experiment: Experiment, ends: Collection[str] = _WHOLE) -> dict[str, Any]:
    """Return what the finished run in ``folder`` came to, by campaign.

    ``ends`` are the ways of ending that count as finished.

    Raises:
        CellUnfinished: a campaign was cut short, or a surrogate is missing.
    """
    place = RunFolder(folder)
    return {c.name: _campaign(place, c.name, experiment, ends) for c in experiment.campaigns}


def bought(folder: Path) -> int:
    """Return the clips that the campaigns in ``folder`` have answers for, also while they run."""
    total = 0
    for path in folder.glob(f"*/{JOURNAL_NAME}"):
        with suppress(JournalError):  # it may be being begun at this moment
            total += Journal.answered_in(path.parent)
    return total


def _with_kinds(full: Any, said: Any) -> Any:
    """Return ``said`` with the kind of every part: it is a default, yet says what a part is."""
    if isinstance(said, list):
        return [_with_kinds(*pair) for pair in zip(full, said, strict=True)]
    if not isinstance(said, dict):
        return said
    parts = {name: _with_kinds(full[name], value) for name, value in said.items()}
    return parts | ({"kind": full["kind"]} if "kind" in full else {})


def _campaign(
    place: RunFolder, name: str, experiment: Experiment, ends: Collection[str]
) -> dict[str, Any]:
    journal = Journal.read(place.campaign(name))
    try:
        return _what_it_came_to(journal, place, name, experiment, ends)
    finally:
        journal.close()


def _what_it_came_to(
    journal: Journal, place: RunFolder, name: str, experiment: Experiment, ends: Collection[str]
) -> dict[str, Any]:
    ended, counts = journal.ended, journal.counts()
    if ended is None or ended not in ends:
        reason = (ended or "interrupted").replace("-", " ")
        raise CellUnfinished(
            f"{place.path.name}: {reason} after {counts.answered:,} of {experiment.budget:,} "
            f"clips. {_ADVICE.get(ended or '', _RICHER)}"
        )
    surrogates = {}
    for mark in experiment.marks_up_to(counts.observed):
        folder = place.surrogate(name, mark)
        # One that had too little to be trained on is missed by nobody.
        if folder.exists() or int(journal.rows(mark).kept.sum()) >= FEWEST_CLIPS:
            surrogates[str(mark)] = checkpoint.load_card(folder)[checkpoint.TENSORS_HASH]
    return {
        "ended": ended,
        "bought": counts.answered,
        "kept": counts.kept,
        "labels_seen": counts.labels_seen,
        "surrogates": surrogates,
    }
