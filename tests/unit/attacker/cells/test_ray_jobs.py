"""Ray in the place of this machine: what is refused, and what becomes of a worker that is lost."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attacker.cells.jobs import Process
from attacker.cells.ray_jobs import LOSSES, LOST, RayProcess, _knock, ray_cluster
from attacker.cells.remote import run_command
from attacker.errors import ExperimentError


class RayError(Exception):
    pass


class WorkerCrashedError(RayError):
    pass


class NodeDiedError(RayError):
    pass


class OutOfMemoryError(RayError):
    pass


class FakeRay:
    """Ray's answers from a list: an exit code, an error, or None for a task that still runs."""

    exceptions = SimpleNamespace(
        RayError=RayError,
        WorkerCrashedError=WorkerCrashedError,
        NodeDiedError=NodeDiedError,
        OutOfMemoryError=OutOfMemoryError,
    )

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.begun: list[tuple[Any, ...]] = []
        self.cancelled: list[bool] = []

    def remote(self, *facts: Any) -> int:
        self.begun.append(facts)
        return len(self.begun)

    def wait(self, tasks: list[int], timeout: float) -> tuple[list[int], list[int]]:
        assert timeout == 0
        if self.answers[0] is None:
            self.answers.pop(0)
            return [], tasks
        return tasks, []

    def get(self, task: int) -> int:
        assert task == len(self.begun)  # never an earlier one
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return int(answer)

    def cancel(self, task: int, force: bool) -> None:
        self.cancelled.append(force)


@pytest.fixture
def start(tmp_path: Path) -> Callable[[FakeRay], RayProcess]:
    return lambda ray: RayProcess(ray, ray, ("words",), tmp_path / "job.log")


def test_a_command_is_polled_until_it_ends(start: Callable[[FakeRay], RayProcess]) -> None:
    process: Process = start(FakeRay(None, None, 3))
    assert [process.poll() for _ in range(4)] == [None, None, 3, 3]


def test_a_lost_worker_is_replaced_by_one_that_is_told_the_same(
    start: Callable[[FakeRay], RayProcess], tmp_path: Path
) -> None:
    ray = FakeRay(WorkerCrashedError(), None, NodeDiedError(), OutOfMemoryError(), 0)
    process = start(ray)
    assert process.wait(timeout=10) == 0
    assert ray.begun == [("words",)] * 4
    assert (tmp_path / "job.log").read_text().count("worker was lost") == 3


def test_a_command_that_loses_every_worker_fails_with_the_reason(
    start: Callable[[FakeRay], RayProcess], tmp_path: Path
) -> None:
    ray = FakeRay(*[WorkerCrashedError() for _ in range(LOSSES + 1)])
    assert start(ray).wait(timeout=10) == LOST
    assert len(ray.begun) == LOSSES + 1
    last = (tmp_path / "job.log").read_text().splitlines()[-1]
    assert last.startswith("error: 4 Ray workers were lost")


def test_what_is_ended_is_not_begun_again(start: Callable[[FakeRay], RayProcess]) -> None:
    ray = FakeRay(None, WorkerCrashedError())
    process = start(ray)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.kill()
    assert ray.cancelled == [False, True]
    assert process.wait(timeout=1) == LOST
    assert len(ray.begun) == 1


def test_a_task_that_cannot_run_fails_and_is_not_begun_again(
    start: Callable[[FakeRay], RayProcess], tmp_path: Path
) -> None:
    ray = FakeRay(RayError("no module named attacker"))
    assert start(ray).wait(timeout=10) == LOST
    assert len(ray.begun) == 1
    assert "error: the Ray task ended" in (tmp_path / "job.log").read_text()


def test_a_wait_is_bounded(start: Callable[[FakeRay], RayProcess]) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        start(FakeRay(*[None] * 100)).wait(timeout=0.3)


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:port", "127.0.0.1:99999999"])
def test_what_is_no_address_is_refused(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ExperimentError, match="--ray"), ray_cluster(address, 1):
        pass


def test_an_address_that_does_not_answer_is_refused_at_once() -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    begun = time.monotonic()
    with (
        pytest.raises(ExperimentError, match=r"no Ray cluster answers there.*ray start --head"),
        ray_cluster(f"127.0.0.1:{port}", 1),
    ):
        pass
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("said", [None, b"SSH-2.0-OpenSSH_9.2\r\n", b""])
def test_an_address_that_does_not_speak_grpc_is_refused_soon(said: bytes | None) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as mute:

        def answer() -> None:
            connection, _ = mute.accept()
            with connection:
                if said is not None:
                    connection.sendall(said)
                    return
                while connection.recv(100):  # takes all, and never says a word
                    pass

        threading.Thread(target=answer, daemon=True).start()
        begun = time.monotonic()
        with (
            pytest.raises(ExperimentError, match="no Ray cluster answers there"),
            ray_cluster(f"127.0.0.1:{mute.getsockname()[1]}", 1),
        ):
            pass
    assert time.monotonic() - begun < 30


def test_a_server_that_speaks_grpc_is_let_through() -> None:
    pytest.importorskip("ray")
    settings = bytes([0, 0, 6, 4, 0, 0, 0, 0, 0]) + bytes(6)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(settings)

        threading.Thread(target=answer, daemon=True).start()
        _knock(f"127.0.0.1:{server.getsockname()[1]}")


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExperimentError, match=r"pip install 'earshot\[ray\]'"), ray_cluster("x", 1):
        pass


def test_a_command_has_its_variables_its_folder_and_its_log(tmp_path: Path) -> None:
    code = "import os; print(os.environ['GREETING'], os.getcwd(), os.environ['EARSHOT_PARENT'])"
    words = [sys.executable, "-c", f"{code}; raise SystemExit(7)"]
    log = tmp_path / "log"
    assert run_command(words, str(log), {"GREETING": "hello"}, str(tmp_path)) == 7
    assert log.read_text().split() == ["hello", str(tmp_path), str(os.getpid())]


def test_an_interrupted_worker_ends_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def wait(self, timeout: float | None = None) -> int:
            if not started:
                started.append(self)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    words = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(KeyboardInterrupt):
        run_command(words, str(tmp_path / "log"), {}, str(tmp_path))
    assert started[0].poll() is not None
