"""Cells on a Ray cluster: each command in a worker, and again in another one when that is lost.

All machines see the folders of the run under the same paths. What a cell has bought is in its
folder, so that a second worker goes on where the first one was lost, and pays nothing twice.
"""

import importlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attacker.cells.jobs import Launch, Process
from attacker.cells.remote import run_command
from attacker.errors import ExperimentError

LOCAL = "local"
"""In place of an address: workers on this machine, for as long as the run lasts."""
LOSSES = 3
"""Workers that one command may lose before it counts as failed."""
LOST = 75
"""Exit code of a command that lost them all."""
_KNOCK_S = 5.0
_NO_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""A frame of HTTP/2: settings, none."""
_POLL_S = 0.2
_CPU = 1
_STORE_BYTES = 80 * 2**20


@contextmanager
def ray_cluster(address: str, workers: int) -> Iterator[Launch]:
    """Give what starts commands on the Ray cluster at ``address``; see :data:`LOCAL`.

    Raises:
        ExperimentError: Ray is not installed, or nobody answers there.
    """
    ray = _import_ray()
    _knock(address)
    try:
        if address == LOCAL:
            ray.init(
                address="local",
                num_cpus=workers * _CPU,
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                log_to_driver=False,
                logging_level="ERROR",
            )
        else:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise _unreachable(address, type(error).__name__) from error
    command = ray.remote(run_command).options(num_cpus=_CPU, max_retries=0)

    def launch(words: Sequence[str], log: Path, added: Mapping[str, str]) -> Process:
        own = {n: v for n, v in os.environ.items() if n.startswith("EARSHOT_")}
        facts = (list(words), str(log.absolute()), {**own, **added}, str(Path.cwd()))
        return RayProcess(ray, command, facts, log)

    try:
        yield launch
    finally:
        ray.shutdown()


class RayProcess:
    """A command in a Ray worker, as :class:`attacker.cells.jobs.Process`."""

    def __init__(self, ray: Any, command: Any, facts: tuple[Any, ...], log: Path) -> None:
        self._ray, self._command, self._facts, self._log = ray, command, facts, log
        self._lost = 0
        self._ending = False
        self._code: int | None = None
        self._task = command.remote(*facts)

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs or is begun again."""
        if self._code is None:
            ready, _ = self._ray.wait([self._task], timeout=0)
            if ready:
                self._code = self._take()
        return self._code

    def send_signal(self, sig: int) -> None:
        """Interrupt it, whatever the signal: Ray knows no other."""
        del sig
        self._ending = True
        self._ray.cancel(self._task, force=False)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code once it has ended."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("ray", timeout or 0.0)
            time.sleep(_POLL_S)
        return code

    def kill(self) -> None:
        """End its worker."""
        self._ending = True
        self._ray.cancel(self._task, force=True)

    def _take(self) -> int | None:
        errors = self._ray.exceptions
        try:
            return int(self._ray.get(self._task))
        except errors.RayError as error:
            kinds = (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError)
            lost = isinstance(error, kinds)
            if self._ending or not lost:
                self._say(f"error: the Ray task ended with {type(error).__name__}: {error}")
                return LOST
        self._lost += 1
        if self._lost > LOSSES:
            self._say(
                f"error: {self._lost} Ray workers were lost under this cell. See why in Ray's own "
                "log, such as too little memory, and run the same command again."
            )
            return LOST
        self._say("the Ray worker was lost; another one goes on")
        self._task = self._command.remote(*self._facts)
        return None

    def _say(self, line: str) -> None:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(" ".join(line.split()) + "\n")


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # a cell is the work, not a pastime
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ExperimentError(
            "--ray: Ray is not installed here. Install it with `pip install 'earshot[ray]'`, or "
            "leave --ray out: cells then run on this machine."
        ) from error


def _knock(address: str) -> None:
    """Refuse an address at which nobody speaks gRPC: Ray itself would try for minutes.

    Raises:
        ExperimentError: nobody answers.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        if address in (LOCAL, "auto"):
            return
        raise ExperimentError(
            f"--ray {address!r} is no address. Write HOST:PORT or ray://HOST:PORT, `auto` for the "
            f"cluster that this machine belongs to, or `{LOCAL}`."
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S) as connection:
            if os.environ.get("RAY_USE_TLS") != "1":
                _greet(connection)
    except (OSError, ValueError, OverflowError) as error:
        raise _unreachable(address, type(error).__name__) from error


def _greet(connection: socket.socket) -> None:
    """Begin HTTP/2, which gRPC is spoken over, and wait for the server's settings.

    Raises:
        OSError: it says nothing in time, or something else.

    Reference: RFC 9113, 3.4.
    """
    connection.settimeout(_KNOCK_S)
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _NO_SETTINGS)
    head = b""
    while len(head) < len(_NO_SETTINGS):
        part = connection.recv(len(_NO_SETTINGS) - len(head))
        if not part:
            raise ConnectionResetError("it closed the connection")
        head += part
    if head[3] != _NO_SETTINGS[3]:
        raise ConnectionError("it does not speak gRPC")


def _unreachable(address: str, why: str) -> ExperimentError:
    return ExperimentError(
        f"--ray {address}: no Ray cluster answers there ({why}). Start one with `ray start "
        "--head`, and name the address that it prints, or leave --ray out: cells then run on this "
        "machine."
    )
