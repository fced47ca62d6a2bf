"""Paths of what an attack is granted of the victim, which may name it by ``$EARSHOT_VICTIM``."""

from pathlib import Path

from attacker.errors import KnowledgeMissing
from attacker.tables import VICTIM_VARIABLE
from shared.corpora import UnsetVariableError, expanded


def granted_path(path: str) -> Path:
    """Return the path that ``path`` names, with ``~`` and environment variables expanded.

    Raises:
        KnowledgeMissing: it names the victim's folder, which nobody has told.
        UnsetVariableError: it names another variable that is not set.
    """
    try:
        return expanded(path)
    except UnsetVariableError as error:
        if error.variable != VICTIM_VARIABLE:
            raise
        raise KnowledgeMissing(
            f"{path}: this is granted of the victim, and nobody has said where its checkpoint "
            f"folder is. Give it with --victim-folder, or set {VICTIM_VARIABLE} to it."
        ) from error
