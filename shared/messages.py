"""Which errors are shown to people as one line, and which are defects that need a traceback."""

import os

_PACKAGES = ("shared", "victim_service", "attacker")


def explain(error: Exception) -> str | None:
    """Return the one line that people are shown of ``error``; None for a defect of ours."""
    if is_ours(error):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        who = f" for user {os.getuid()}" if isinstance(error, PermissionError) else ""
        return (
            f"{error.filename}: {error.strerror}{who}. Name a place that can be read and written, "
            "or change who may."
        )
    return None


def is_ours(error: Exception) -> bool:
    """Whether ``error`` was made for people: every error class of this repository is."""
    return type(error).__module__.partition(".")[0] in _PACKAGES
