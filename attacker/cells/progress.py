"""How far a cell is, from its files alone: nothing here knows what an experiment is."""

from contextlib import suppress
from pathlib import Path

from attacker.errors import JournalError
from attacker.journal import JOURNAL_NAME, Journal

DONE_NAME = "done.json"


def is_done(folder: Path) -> bool:
    """Whether the cell or the ingredient in ``folder`` is finished."""
    return (folder / DONE_NAME).is_file()


def bought(folder: Path) -> int:
    """Return the clips that the campaigns in ``folder`` have answers for, also while they run."""
    total = 0
    for path in folder.glob(f"*/{JOURNAL_NAME}"):
        with suppress(JournalError):  # it may be being begun at this moment
            total += Journal.answered_in(path.parent)
    return total
