"""Runs one command inside of a Ray worker. It imports next to nothing: every worker loads it."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from attacker.cells.parent import PARENT_VARIABLE

_GRACE_S = 15.0


def run_command(words: Sequence[str], log: str, added: Mapping[str, str], folder: str) -> int:
    """Run a command in ``folder`` until it ends, its output at the end of ``log``; its exit code.

    It ends with this worker, however that ends; an interruption ends it gently.
    """
    environment = {**os.environ, **added, PARENT_VARIABLE: str(os.getpid())}
    with open(log, "ab") as file:  # noqa: PTH123 - a plain text travels to every worker
        process = subprocess.Popen(
            words,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=environment,
            start_new_session=True,
        )
    try:
        return process.wait()
    except BaseException:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
