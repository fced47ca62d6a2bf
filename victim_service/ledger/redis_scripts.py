"""The Lua scripts of the Redis ledger, one file each, all behind ``lua/common.lua``."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

PREFIX = "earshot:{ledger}:"
"""Begins the name of every key in Redis; the braces keep them together in one hash slot."""
BORN = f"{PREFIX}born"
"""Holds the random id that a ledger gets when it is made."""

_FOLDER = Path(__file__).parent / "lua"


@dataclass(frozen=True, slots=True)
class Script:
    """A script as Redis wants it: whole once, and by its digest ever after."""

    name: str
    text: str
    sha1: str


def _load(name: str) -> Script:
    text = (_FOLDER / "common.lua").read_text() + (_FOLDER / f"{name}.lua").read_text()
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


RESERVE = _load("reserve")
COMMIT = _load("commit")
RELEASE = _load("release")
REAP = _load("reap")
AUDIT = _load("audit")
REVOKE = _load("revoke")
ADD_PLAN = _load("add_plan")
KEEP_WATCHED = _load("keep_watched")
CALLS = _load("calls")

ALL = (RESERVE, COMMIT, RELEASE, REAP, AUDIT, REVOKE, ADD_PLAN, KEEP_WATCHED, CALLS)
