"""The peers as servers: how each is started, asked and ended."""

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.support.processes import serving
from benchmarks.support.servers import Running, wait_ready, warm_up

_START_S = 90
_QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
}


@dataclass(frozen=True)
class Form:
    """One way to run a peer."""

    peer: str
    workers: int
    threads: int
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        count = f"{self.workers} x {self.threads} thread{'s' if self.threads > 1 else ''}"
        return ", ".join((count, *self.options))


MODULES = {
    "LitServe": "benchmarks.peers.litserve_server",
    "BentoML": "benchmarks.peers.bentoml_server",
    "Ray Serve": "benchmarks.peers.ray_server",
}


def forms(peer: str, processors: int, *, tuned: bool) -> list[Form]:
    """Return all ways in which ``peer`` is tried; it is measured in its quickest."""
    counts = dict.fromkeys(((processors, 1), (1, processors)))
    found = []
    for options in ((), ("fast-queue",)) if peer == "LitServe" else ((),):
        all_options = (*options, "tuned") if tuned else options
        found += [Form(peer, *count, all_options) for count in counts]
    return found


@contextlib.contextmanager
def serve(form: Form, python: str, checkpoint: Path) -> Iterator[Running]:
    """Run a peer for the length of a block.

    Raises:
        RuntimeError: it does not start, or does not answer as it should.
    """
    # Short, because Ray makes sockets in it, and the names of sockets may not be long.
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        port = free_port()
        scratch = Path(folder) / "s"
        scratch.mkdir()
        words = ["--port", str(port), "--checkpoint", str(checkpoint), "--scratch", str(scratch)]
        words += ["--workers", str(form.workers), "--threads", str(form.threads)]
        words += [word for option in form.options for word in ("--option", option)]
        command = [python, "-m", MODULES[form.peer], *words]
        env = _QUIET | {"OMP_NUM_THREADS": str(form.threads)}
        with serving(command, Path(folder) / "log", env) as server:
            running = Running(
                name=form.peer,
                url=f"http://127.0.0.1:{port}",
                server=server,
                path="/classify",
                headers={"Content-Type": "application/octet-stream"},
                keyed=False,
                encode=np.ndarray.tobytes,
            )
            wait_ready(running, _START_S)
            try:
                warm_up(running, [])
            except (RuntimeError, OSError, TimeoutError) as error:
                raise RuntimeError(f"{error}\n{server.tail()}") from error
            yield running


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
