"""One attacker at a time writes a journal."""

import fcntl
import os
from pathlib import Path

from attacker.errors import JournalLocked


def take(path: Path) -> int:
    """Return the descriptor that holds the lock; it ends with this process, however that ends.

    Raises:
        JournalLocked: another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise JournalLocked(
            f"{path.parent}: another attacker (process {holder}) is writing this journal. Wait for "
            "it to end, or choose another folder with --out."
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
