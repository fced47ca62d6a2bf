"""Server processes that a measurement starts, and ends with all their children."""

import contextlib
import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_MARK = "EARSHOT_BENCH_PROCESS"
_TAIL = 4000


class Server:
    """A running process; its children carry its mark in their environment."""

    def __init__(
        self, command: Sequence[str], log: Path, env: dict[str, str] | None = None
    ) -> None:
        self.log = log
        self._token = secrets.token_hex(8)
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                list(command),
                cwd=ROOT,
                env=clean_environment() | (env or {}) | {_MARK: self._token},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def wait(self, ready: Callable[[], bool], seconds: float = 120) -> None:
        """Return when ``ready`` says so.

        Raises:
            RuntimeError: the process ended, or it took too long; with the end of its log.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                state = f"ended with {self.process.poll()}, or was not ready in {seconds:.0f} s"
                raise RuntimeError(f"a server {state}. The end of its log:\n{self.tail()}")
            time.sleep(0.05)

    def tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-_TAIL:]

    def members(self) -> list[int]:
        """Return the ids of the process and of all its living descendants, adopted ones too."""
        mark = f"{_MARK}={self._token}".encode()
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    if mark in (folder / "environ").read_bytes().split(b"\0"):
                        found.append(int(folder.name))
        return found

    def pause(self) -> None:
        """Take all of it off the processors, so that nothing of it disturbs another's turn."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process_id in self.members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_id, number)

    def stop(self, patience_s: float = 15.0) -> None:
        """Ask the process to end, then end whatever of it is left."""
        self.resume()
        if self.process.poll() is None:
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=patience_s)
        for sent in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + 3
            self._signal(sent)
            left = self.members()
            while left and time.monotonic() < deadline:
                time.sleep(0.05)
                self.process.poll()
                left = self.members()
        self.process.wait(timeout=10)


@contextlib.contextmanager
def serving(
    command: Sequence[str], log: Path, env: dict[str, str] | None = None, patience_s: float = 15.0
) -> Iterator[Server]:
    """Run ``command`` for the length of a block."""
    server = Server(command, log, env)
    try:
        yield server
    finally:
        server.stop(patience_s)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder on the project's own disk: a system's folder for temporaries may be memory,
    where a ledger's synchronous writes would cost nothing."""
    (ROOT / "runs").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "runs") as folder:
        yield Path(folder)


def clean_environment() -> dict[str, str]:
    """Return this process's environment without the victim's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VICTIM_")}
    return kept | {"PYTHONUNBUFFERED": "1"}


def stop_on_sigterm() -> None:
    """Let SIGTERM unwind this process, so that the servers it started end with it."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
