"""The first words with a Redis: is it there, new enough and durable, and does it hold a ledger?

Spoken once, before anything is sold, by a plain blocking client.
"""

import contextlib
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

import redis
import structlog

from victim_service.errors import StartError
from victim_service.ledger import redis_scripts as scripts

_log = structlog.get_logger("victim")

_OLDEST = (6, 2)
_PATIENCE_S = 60.0
"""How long a Redis may take to read its own log after a restart."""
_SOCKET_S = 5.0

_DURABLE = {
    "appendonly": ("yes", "a crash of Redis loses what was sold. Set appendonly yes."),
    "appendfsync": (
        "always",
        "a crash of Redis may lose the last second of what was sold. Set appendfsync always.",
    ),
    "maxmemory-policy": (
        "noeviction",
        "Redis may throw away what was sold. Set maxmemory-policy noeviction.",
    ),
}


def place(url: str) -> str:
    """Return ``url`` without user and password, for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def open_redis(url: str, *, create: bool) -> bytes:
    """Return the id of the ledger at ``url``; with ``create`` one is made if there is none.

    Raises:
        StartError: there is no Redis, it is too old, or it holds no ledger.
    """
    try:
        client = redis.Redis.from_url(
            url, protocol=2, socket_timeout=_SOCKET_S, decode_responses=False
        )
    except ValueError as error:
        raise StartError(f"ledger {place(url)}: {error}. Mend the address.") from error
    with contextlib.closing(client):
        try:
            _check_version(url, _patient_info(client))
            born = _born(client, create)
            for script in scripts.ALL:
                client.script_load(script.text)
            _warn(client)
        except (redis.RedisError, OSError) as error:
            raise StartError(
                f"ledger {place(url)}: {error}. Start Redis, or check --ledger or VICTIM_LEDGER."
            ) from error
    if born is None:
        raise StartError(
            f"{place(url)}: this Redis holds no ledger. Check --ledger or VICTIM_LEDGER."
        )
    return born


def _patient_info(client: "redis.Redis") -> dict[str, Any]:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            found: dict[str, Any] = client.info("server")
            return found
        except redis.BusyLoadingError:  # it reads its log
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _check_version(url: str, info: dict[str, Any]) -> None:
    found = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in found.split(".")[:2]) < _OLDEST:
        raise StartError(f"ledger {place(url)}: this is Redis {found}. Use 6.2 or a newer one.")


def _born(client: "redis.Redis", create: bool) -> bytes | None:
    if create:
        client.set(scripts.BORN, secrets.token_hex(16), nx=True)
    found: bytes | None = client.get(scripts.BORN)  # type: ignore[assignment]
    return found


def _warn(client: "redis.Redis") -> None:
    """Warn of settings under which Redis may forget what was sold."""
    found: dict[str, str] = {}
    with contextlib.suppress(redis.ResponseError):  # a hosted Redis may not tell
        for name in (*_DURABLE, "maxmemory"):  # one by one: Redis 6.2 takes no more at once
            found |= client.config_get(name)  # type: ignore[arg-type]
    for name, (wanted, advice) in _DURABLE.items():
        without_limit = name == "maxmemory-policy" and found.get("maxmemory") == "0"
        if found.get(name, wanted) != wanted and not without_limit:
            _log.warning("redis may forget", setting=name, value=found[name], advice=advice)
