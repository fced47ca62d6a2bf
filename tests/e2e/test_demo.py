"""The demo script: it resumes, reuses what is made, and leaves nothing running."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.small import environment, small_copy

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_copy(tmp_path_factory.mktemp("demo") / "earshot")


def start(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "scripts/demo.py"],
        cwd=folder, env=environment(), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def left_running(folder: Path) -> list[str]:
    """Return the command lines of processes that work in ``folder``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def wait_for(path: Path, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[tuple[int, str]]:
    """Interrupt the demo while it serves, kill it, then let it end twice."""
    results = []
    for sign in (signal.SIGINT, signal.SIGKILL, None, None):
        (folder / "runs/demo/port").unlink(missing_ok=True)
        demo = start(folder)
        if sign is not None:
            wait_for(folder / "runs/demo/port")
            if sign == signal.SIGINT:
                os.killpg(demo.pid, sign)  # as a terminal does
            else:
                demo.send_signal(sign)
        output, _ = demo.communicate(timeout=300)
        results.append((demo.returncode, output))
        deadline = time.monotonic() + 30
        while left_running(folder) and time.monotonic() < deadline:
            time.sleep(0.1)
        results[-1] = (demo.returncode, output + "".join(left_running(folder)))
    return results


def test_ctrl_c_leaves_nothing_running(runs: list[tuple[int, str]], folder: Path) -> None:
    status, output = runs[0]
    assert status == 130, output
    assert "Nothing is left running" in output
    assert left_running(folder) == []


def test_a_killed_script_takes_its_service_along(runs: list[tuple[int, str]]) -> None:
    status, output = runs[1]
    assert status == -signal.SIGKILL
    assert "victim_service serve" not in output


def test_it_ends_with_a_report(runs: list[tuple[int, str]], folder: Path) -> None:
    status, output = runs[2]
    assert status == 0, output[-3000:]
    assert "trained already" in output
    assert (folder / "runs/demo/campaign/report.html").stat().st_size > 100_000
    assert "they agree" in (folder / "runs/demo/campaign/report.html").read_text()


def test_a_second_run_makes_nothing_anew(runs: list[tuple[int, str]]) -> None:
    status, output = runs[3]
    assert status == 0, output[-3000:]
    assert "trained already" in output
    assert "epoch" not in output
