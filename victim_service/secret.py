"""The secret of a service: 32 random bytes that its replicas share.

Noise of defences is drawn from it, so that a replay anywhere gives the same answer, and the export
of the ledger is signed with it. The ledger keeps a fingerprint: a replica with another secret does
not start.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from victim_service.errors import StartError
from victim_service.ledger.base import Ledger
from victim_service.settings import Settings

_BYTES = 32
_SQLITE = "sqlite:///"
_SHARED = Path("runs/victim.secret")


def secret_path(settings: Settings) -> Path:
    """Return the file of the secret: as set, or beside the ledger when that is a file."""
    if settings.secret_file is not None:
        return settings.secret_file
    if settings.ledger.startswith(_SQLITE):
        return Path(settings.ledger.removeprefix(_SQLITE) + ".secret")
    return _SHARED


async def load_secret(settings: Settings, ledger: Ledger, *, create: bool = True) -> bytes:
    """Return the secret (32 bytes) that belongs to ``ledger``.

    If there is no file yet, it is made (mode 0600), unless not to ``create``, or unless the ledger
    already belongs to another secret.

    Raises:
        StartError: there is no such file, it is not a secret, or it is that of another ledger.
        Refusal: ledger-unreachable.
    """
    path = secret_path(settings)
    try:
        made = create and _make(path)
        secret = _read(path)
    except (OSError, ValueError) as error:
        raise StartError(
            f"secret {path}: {error}. Set VICTIM_SECRET_FILE to the file of this ledger's secret."
        ) from error
    mine = fingerprint(secret)
    # When this fails it may have gone through, so the file stays: the next start tries again.
    kept = await ledger.claim("secret", mine)
    if not hmac.compare_digest(kept, mine):
        if made:
            path.unlink()
        raise StartError(
            f"secret {path}: the ledger belongs to another secret. Copy the secret's file of a "
            "replica that runs on this ledger, or set VICTIM_SECRET_FILE to it."
        )
    return secret


def fingerprint(secret: bytes) -> str:
    """Return what may be known of ``secret``: equal for equal secrets, and no help in guessing."""
    return hashlib.sha256(hmac.digest(secret, b"earshot", "sha256")).hexdigest()


def _read(path: Path) -> bytes:
    text = path.read_text(encoding="ascii").strip()
    if len(text) != 2 * _BYTES:
        raise ValueError(f"it holds {len(text)} characters, not {2 * _BYTES} hexadecimal digits")
    return bytes.fromhex(text)


def _make(path: Path) -> bool:
    """Write a new secret whole or not at all; False when there is a file already."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    draft = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was quicker
            os.link(draft, path)
            return True
        return False
    finally:
        draft.unlink()
