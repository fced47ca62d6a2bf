"""Runs commands side by side, each a process of its own, in the order of what they need.

A job that is marked as done is not run; one that fails does not stop the others, except those that
need it. Children end with this process, however it ends.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import IO, Any, Protocol

from attacker.cells.cell import is_done, mark_done
from attacker.cells.parent import PARENT_VARIABLE
from shared.messages import explain
from shared.runtime import available_processors

LOG_NAME = "job.log"
PROGRAM = (sys.executable, "-m", "attacker")
_POLL_S = 0.2
_GRACE_S = 20.0
_LAST_WORDS_BYTES = 4000


class State(Enum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Job:
    """One command of `earshot-attacker`, and the folder that it fills."""

    name: str
    arguments: tuple[str, ...]
    folder: Path
    conclude: Callable[[], dict[str, Any]]
    """Called after exit code 0: returns what to note, or raises where something is missing."""
    needs: tuple[str, ...] = ()
    """Names of jobs that must be done before."""
    cost_s: float = 1.0
    """About how long it takes, against the others; the time left is told from it."""
    progress: Callable[[], int] = lambda: 0
    """Clips that it has bought so far."""


class Process(Protocol):
    """A command that was started; ``subprocess.Popen`` is one."""

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""

    def send_signal(self, sig: int) -> None:
        """Ask it to end."""

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code once it has ended; subprocess.TimeoutExpired after ``timeout`` s."""

    def kill(self) -> None:
        """End it for good."""


Launch = Callable[[Sequence[str], Path, Mapping[str, str]], Process]
"""Starts a command whose output goes to the end of a file, with variables of its own."""


@dataclass
class Status:
    """A job, and what became of it."""

    job: Job
    state: State = State.WAITING
    reason: str = ""
    """Why it failed or is blocked, in one line."""
    started: float = 0.0
    took_s: float = 0.0
    process: "Process | None" = field(default=None, repr=False)
    _clips: int | None = None

    @property
    def clips(self) -> int:
        """Clips that it has bought; of one that is done, looked up once."""
        if self._clips is not None:
            return self._clips
        clips = self.job.progress()
        if self.state is State.DONE:
            self._clips = clips
        return clips


class Watcher(Protocol):
    """Is told how the jobs go."""

    def changed(self, statuses: Sequence[Status]) -> None:
        """Take the state of all jobs; called a few times a second."""

    def ended(self, status: Status) -> None:
        """Take a job that has just ended."""


def run_jobs(
    jobs: Sequence[Job],
    slots: int,
    watcher: Watcher,
    environment: Mapping[str, str] | None = None,
    program: Sequence[str] = PROGRAM,
    launch: Launch | None = None,
) -> list[Status]:
    """Run ``jobs``, at most ``slots`` at a time; return what became of each.

    ``environment`` is added to this process's own, with the processors shared out evenly;
    ``program`` is what takes a job's arguments, and ``launch`` says where: on this machine unless
    given.
    An interruption ends the children, which keep what they have, and is raised again.
    """
    statuses = [Status(job, State.DONE if is_done(job.folder) else State.WAITING) for job in jobs]
    added = {**(environment or {}), **_shares(slots)}
    try:
        while any(status.state in (State.WAITING, State.RUNNING) for status in statuses):
            for status in statuses:
                _collect(status, watcher)
            _block(statuses, watcher)
            _start_some(statuses, slots, program, added, launch or _launch_here)
            watcher.changed(statuses)
            time.sleep(_POLL_S)
    finally:
        _end(statuses)
        watcher.changed(statuses)
    return statuses


def _shares(slots: int) -> dict[str, str]:
    wished = os.environ.get("OMP_NUM_THREADS", "")
    processors = int(wished) if wished.isdecimal() and int(wished) else available_processors()
    return {"OMP_NUM_THREADS": str(max(1, processors // slots)), PARENT_VARIABLE: str(os.getpid())}


def _start_some(
    statuses: Sequence[Status],
    slots: int,
    program: Sequence[str],
    added: Mapping[str, str],
    launch: Launch,
) -> None:
    done = {status.job.name for status in statuses if status.state is State.DONE}
    free = slots - sum(status.state is State.RUNNING for status in statuses)
    for status in statuses:
        if free <= 0:
            return
        if status.state is State.WAITING and done.issuperset(status.job.needs):
            _start(status, program, added, launch)
            free -= 1


def _start(
    status: Status, program: Sequence[str], added: Mapping[str, str], launch: Launch
) -> None:
    job = status.job
    job.folder.mkdir(parents=True, exist_ok=True)
    log = job.folder / LOG_NAME
    with log.open("ab") as file:
        file.write(f"$ earshot-attacker {shlex.join(job.arguments)}\n".encode())
    status.process = launch([*program, *job.arguments], log, added)
    status.state, status.started = State.RUNNING, time.monotonic()


def _launch_here(words: Sequence[str], log: Path, added: Mapping[str, str]) -> Process:
    with log.open("ab") as file:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, **added},
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends them in order
        )


def _collect(status: Status, watcher: Watcher) -> None:
    code = None if status.process is None else status.process.poll()
    if code is None:
        return
    status.process = None
    status.took_s = time.monotonic() - status.started
    if code == 0:
        _conclude(status)
    else:
        status.state, status.reason = State.FAILED, last_words(status.job.folder, code)
    watcher.ended(status)


def _conclude(status: Status) -> None:
    try:
        facts = status.job.conclude()
    except Exception as error:
        reason = explain(error)
        if reason is None:
            raise
        status.state, status.reason = State.FAILED, reason
        return
    mark_done(status.job.folder, {"name": status.job.name, **facts, "took_s": status.took_s})
    status.state = State.DONE


def _block(statuses: Sequence[Status], watcher: Watcher) -> None:
    lost = {s.job.name for s in statuses if s.state in (State.FAILED, State.BLOCKED)}
    for status in statuses:
        if status.state is State.WAITING and (missing := lost.intersection(status.job.needs)):
            status.state, status.reason = State.BLOCKED, f"it needs {', '.join(sorted(missing))}"
            watcher.ended(status)


def _end(statuses: Sequence[Status]) -> None:
    """End what still runs: gently, and after a while for good."""
    running = [status for status in statuses if status.process is not None]
    for status in running:
        _signal(status.process, signal.SIGINT)
    deadline = time.monotonic() + _GRACE_S
    for status in running:
        process = status.process
        if process is not None:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        status.state, status.process = State.WAITING, None


def _signal(process: Process | None, number: int) -> None:
    if process is not None and process.poll() is None:
        process.send_signal(number)


def last_words(folder: Path, code: int) -> str:
    """Return why the job in ``folder`` failed: the error in its log, or its exit code."""
    error = last_error(_tail(folder / LOG_NAME))
    if error is not None:
        return error
    return f"it ended with exit code {code}; see {folder / LOG_NAME}"


def last_error(lines: Sequence[str]) -> str | None:
    """Return the last error that ``lines`` of a log tell, or None."""
    errors = [line for line in lines if line.startswith("error:")]
    return errors[-1].removeprefix("error:").strip() if errors else None


def latest_line(folder: Path) -> str:
    """Return the last line that the job in ``folder`` has said."""
    words = _tail(folder / LOG_NAME)
    return words[-1] if words else ""


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            return _last_lines(file)
    except OSError:
        return []


def _last_lines(file: IO[bytes]) -> list[str]:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _LAST_WORDS_BYTES))
    return [line.strip() for line in file.read().decode(errors="replace").splitlines() if line]
