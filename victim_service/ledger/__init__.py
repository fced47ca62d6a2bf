"""Ledgers: one protocol, one file a backend, and the factory that reads a URL."""

import re
from collections.abc import Callable
from pathlib import Path

from victim_service.errors import StartError
from victim_service.ledger.base import Ledger
from victim_service.ledger.sqlite import SqliteLedger

_SQLITE = "sqlite:///"


def _open_sqlite(url: str, timeout_s: float, create: bool) -> Ledger:
    place = url.removeprefix(_SQLITE)
    if not place:
        raise StartError(f"{url}: no file is named. Write {_SQLITE}runs/ledger.sqlite.")
    if not create and not Path(place).is_file():
        raise StartError(f"{url}: there is no such file. Check --ledger or VICTIM_LEDGER.")
    return SqliteLedger(Path(place), timeout_s=timeout_s)


def _open_redis(url: str, timeout_s: float, create: bool) -> Ledger:
    from victim_service.ledger.redis import RedisLedger  # whoever needs no Redis need not wait

    return RedisLedger(url, timeout_s=timeout_s, create=create)


BACKENDS: dict[str, Callable[[str, float, bool], Ledger]] = {
    _SQLITE: _open_sqlite,
    "redis://": _open_redis,
    "rediss://": _open_redis,
}
"""The start of a ledger URL, and what opens it."""


def open_ledger(url: str, timeout_s: float = 0.9, *, create: bool = True) -> Ledger:
    """Open the ledger at ``url``; ``timeout_s`` bounds every call.

    ``sqlite:///runs/ledger.sqlite`` is relative to the working folder, ``sqlite:////srv/...`` is
    absolute; ``redis://host:6379/0`` names a database of a Redis, ``rediss://`` over TLS. Without
    ``create``, a ledger that is not there yet is an error.

    Raises:
        StartError: the scheme is unknown, or the backend cannot be opened.
    """
    for start, opener in BACKENDS.items():
        if url.startswith(start):
            return opener(url, timeout_s, create)
    valid = ", ".join(BACKENDS)
    raise StartError(
        f"ledger {without_password(url)!r}: unknown kind of ledger. Start the address with {valid}."
    )


def without_password(url: str) -> str:
    """Return a ledger's address as it may be shown: without user and password."""
    return re.sub(r"(?<=://)[^/]*@", "", url)


__all__ = ["BACKENDS", "Ledger", "open_ledger", "without_password"]
