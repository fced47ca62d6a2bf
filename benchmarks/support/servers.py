"""An Earshot server on random ``desk`` weights with a key, and the bodies that go to any server."""

import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.forward import SAMPLES, SPEAKERS, save_victim
from benchmarks.support.processes import ROOT, Server, clean_environment, serving
from benchmarks.support.raw_client import (
    Connection,
    Load,
    closed_loop,
    request_bytes,
    run,
    with_line,
)
from shared.audio import to_npy
from shared.contract import CLASSIFY_PATH, IDEMPOTENCY_HEADER, NPY_MEDIA_TYPE

_BUDGET = 10**12
_PLAN = """\
# Every check is made and none refuses: a measurement must meet the server, not the plan.
name: bench
label_mode: soft
rate_per_s: 1000000
burst: 1000000
headers: full
"""


@dataclass(frozen=True)
class Running:
    """A server that answers queries, and how it is asked."""

    name: str
    url: str
    server: Server
    path: str
    headers: dict[str, str]
    keyed: bool
    """Whether every request needs an idempotency key of its own."""
    encode: Callable[[np.ndarray], bytes]
    """Makes a body of int16 clips (B, T)."""

    def make(self, clips: int, variants: int = 8) -> Callable[[int, int], Sequence[bytes]]:
        """Return what makes requests of ``clips`` clips, each client with bodies of its own."""
        rng = np.random.default_rng(0)
        ready = []
        for _ in range(variants):
            body = self.encode(rng.integers(-9000, 9000, (clips, SAMPLES)).astype(np.int16))
            ready.append(request_bytes(self.url, self.path, self.headers, body))
        run_id = f"bench-{os.getpid()}-{time.time_ns()}"
        numbers = itertools.count()

        def make(client: int, sent: int) -> Sequence[bytes]:
            head, body = ready[(client + sent) % variants]
            if self.keyed:
                head = with_line(head, IDEMPOTENCY_HEADER, f"{run_id}-{next(numbers)}")
            return (head, body)

        return make

    def load(self, clients: int, clips: int, seconds: float, **options: float) -> Load:
        """Measure ``clients`` clients in closed loop, ``clips`` clips a request."""
        return run(
            closed_loop(
                self.url, self.make(clips), clients=clients, clips=clips, seconds=seconds,
                **options,
            )
        )  # fmt: skip


@contextlib.contextmanager
def earshot(
    folder: Path,
    *,
    ledger: str | None = None,
    command: Sequence[str] = (),
    **variables: str | float,
) -> Iterator[Running]:
    """Serve random ``desk`` weights from ``folder`` for the length of a block.

    ``variables`` are settings (``queue_clips=256``); ``command`` replaces ``earshot-victim serve``
    by another module and its words that take the same options.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plans = folder / "plans"
    plans.mkdir(exist_ok=True)
    (plans / "bench.yaml").write_text(_PLAN)
    ledger = ledger or f"sqlite:///{folder / 'ledger.sqlite'}"
    key = issue_key(ledger, plans)
    if not command:
        save_victim(folder / "victim")
        command = ("victim_service", "serve", str(folder / "victim"))
    port_file = folder / "port"
    port_file.unlink(missing_ok=True)
    words = [sys.executable, "-m", *command, "--ledger", ledger, "--plans", str(plans)]
    words += ["--port", "0", "--port-file", str(port_file)]
    env = {f"VICTIM_{name.upper()}": str(value) for name, value in variables.items()}
    with serving(words, folder / "log", env, patience_s=40) as server:
        server.wait(lambda: port_file.exists() and bool(port_file.read_text().strip()))
        url = f"http://127.0.0.1:{port_file.read_text().strip()}"
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": NPY_MEDIA_TYPE,
            "Accept": NPY_MEDIA_TYPE,
        }
        running = Running("Earshot", url, server, CLASSIFY_PATH, headers, keyed=True, encode=to_npy)
        wait_ready(running)
        yield running


def issue_key(ledger: str, plans: Path, account: str = "bench") -> str:
    """Issue a key that outlasts any measurement."""
    words = ["keys", "issue", "--ledger", ledger, "--plans", str(plans), "--account", account]
    words += ["--plan", "bench", "--budget", str(_BUDGET), "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "victim_service", *words],
        cwd=ROOT, env=clean_environment(), capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"no key could be issued:\n{done.stderr}")
    return done.stdout.strip()


def wait_ready(running: Running, seconds: float = 120) -> None:
    """Return when ``running`` answers a clip with 200.

    Raises:
        RuntimeError: it ended, or took longer than ``seconds``.
    """
    parts = running.make(1, variants=1)

    async def ask() -> bool:
        async with Connection(running.url) as connection:
            with contextlib.suppress(OSError, TimeoutError):
                return (await connection.send(parts(0, 0), timeout_s=10)).status == 200
        return False

    running.server.wait(lambda: run(ask()), seconds)


def warm_up(running: Running, shapes: Sequence[tuple[int, int]], seconds: float = 1.0) -> None:
    """Send each (clients, clips) for a while, and check that answers have the right size.

    Raises:
        RuntimeError: an answer is not 200, or does not hold a row for each clip.
    """

    async def check() -> None:
        async with Connection(running.url) as connection:
            answer = await connection.send(running.make(3, variants=1)(0, 0), timeout_s=30)
            if answer.status != 200:
                text = answer.body[:500].decode(errors="replace")
                raise RuntimeError(f"{running.name} answers {answer.status}: {text}")
            row_bytes = 4 * SPEAKERS
            if not 3 * row_bytes <= len(answer.body) <= 3 * row_bytes + 256:
                raise RuntimeError(f"{running.name} answers {len(answer.body)} bytes to 3 clips")

    run(check())
    for clients, clips in shapes:
        running.load(clients, clips, seconds)
