"""How far a cell is, from its files alone: nothing here knows what an experiment is."""

import json
from contextlib import suppress
from pathlib import Path

from attacker.errors import JournalError
from attacker.journal import JOURNAL_NAME, Journal

DONE_NAME = "done.json"


def is_done(folder: Path) -> bool:
    """Whether the cell or the ingredient in ``folder`` is finished.

    A note that cannot be read says nothing: the job is run again and writes another one. What was
    bought and trained lies beside it, so that this costs next to nothing.
    """
    try:
        return isinstance(json.loads((folder / DONE_NAME).read_text(encoding="utf-8")), dict)
    except (OSError, ValueError):
        return False


def bought(folder: Path) -> int:
    """Return the clips that the campaigns in ``folder`` have answers for, also while they run."""
    total = 0
    for path in folder.glob(f"*/{JOURNAL_NAME}"):
        with suppress(JournalError):  # it may be being begun at this moment
            total += Journal.answered_in(path.parent)
    return total
