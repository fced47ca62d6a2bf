"""Jobs: order, failures, marks of completion, and children that end when they should."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from attacker.cells.cell import is_done, mark_done, read_done
from attacker.cells.jobs import LOG_NAME, Job, State, Status, last_words, latest_line, run_jobs
from attacker.cells.parent import PARENT_VARIABLE, end_with_parent
from attacker.errors import CellUnfinished

PYTHON = (sys.executable, "-c")
ROOT = Path(__file__).parents[4]


class Watch:
    def __init__(self) -> None:
        self.ends: list[str] = []
        self.most_running = 0

    def changed(self, statuses: Sequence[Status]) -> None:
        running = sum(status.state is State.RUNNING for status in statuses)
        self.most_running = max(self.most_running, running)

    def ended(self, status: Status) -> None:
        self.ends.append(status.job.name)


def job(folder: Path, name: str, code: str, needs: tuple[str, ...] = (), **facts: Any) -> Job:
    return Job(name, (code,), folder / name, lambda: facts, needs=needs)


def run(*jobs: Job, slots: int = 1, **environment: str) -> tuple[list[Status], Watch]:
    watch = Watch()
    return run_jobs(jobs, slots, watch, environment, program=PYTHON), watch


def states(statuses: Sequence[Status]) -> dict[str, str]:
    return {status.job.name: status.state.value for status in statuses}


def test_jobs_run_in_the_order_of_their_needs_and_are_marked(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    say = f"open({str(trace)!r}, 'a').write({{!r}})"
    cell = job(tmp_path, "cell", say.format("cell "), needs=("generator",), bought=7)
    statuses, watch = run(cell, job(tmp_path, "generator", say.format("generator ")))
    assert trace.read_text() == "generator cell "
    assert watch.ends == ["generator", "cell"]
    assert states(statuses) == {"cell": "done", "generator": "done"}
    assert read_done(tmp_path / "cell")["bought"] == 7
    assert read_done(tmp_path / "cell")["took_s"] > 0


def test_a_finished_job_is_never_run_again(tmp_path: Path) -> None:
    finished = job(tmp_path, "cell", "raise SystemExit('ran again')")
    mark_done(finished.folder, {"bought": 3})
    statuses, watch = run(finished)
    assert states(statuses) == {"cell": "done"}
    assert watch.ends == []
    assert not (finished.folder / LOG_NAME).exists()


def test_a_failed_job_stops_only_those_that_need_it(tmp_path: Path) -> None:
    statuses, _ = run(
        job(tmp_path, "bad", "import sys; print('error: no corpus there'); sys.exit(2)"),
        job(tmp_path, "blocked", "pass", needs=("bad",)),
        job(tmp_path, "blocked too", "pass", needs=("blocked",)),
        job(tmp_path, "good", "pass"),
    )
    assert states(statuses) == {
        "bad": "failed", "blocked": "blocked", "blocked too": "blocked", "good": "done"
    }  # fmt: skip
    assert statuses[0].reason == "no corpus there"
    assert "bad" in statuses[1].reason
    assert not is_done(tmp_path / "bad")
    again, _ = run(job(tmp_path, "bad", "pass"), job(tmp_path, "blocked", "pass", needs=("bad",)))
    assert set(states(again).values()) == {"done"}


def test_what_a_job_left_unfinished_makes_it_a_failure(tmp_path: Path) -> None:
    def conclude() -> dict[str, Any]:
        raise CellUnfinished("account exhausted after 5 of 10 clips. Give another key.")

    statuses, _ = run(Job("cell", ("pass",), tmp_path / "cell", conclude))
    assert statuses[0].state is State.FAILED
    assert "Give another key" in statuses[0].reason
    assert not is_done(tmp_path / "cell")


def test_a_defect_in_concluding_is_not_hidden(tmp_path: Path) -> None:
    def conclude() -> dict[str, Any]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(Job("cell", ("pass",), tmp_path / "cell", conclude))


def test_as_many_jobs_run_side_by_side_as_there_are_slots(tmp_path: Path) -> None:
    sleepers = [job(tmp_path, str(number), "import time; time.sleep(0.8)") for number in range(4)]
    started = time.monotonic()
    statuses, watch = run(*sleepers, slots=2)
    assert watch.most_running == 2
    assert time.monotonic() - started < 4 * 0.8 + 2
    assert set(states(statuses).values()) == {"done"}


def test_the_processors_are_shared_out_and_the_key_is_in_no_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    code = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['EARSHOT_KEY'])"
    run(job(tmp_path, "cell", code), slots=2, EARSHOT_KEY="secret")
    log = (tmp_path / "cell" / LOG_NAME).read_text().splitlines()
    assert log[-1] == "3 secret"
    assert "secret" not in log[0]
    assert latest_line(tmp_path / "cell") == "3 secret"


def test_an_interruption_ends_the_children_and_is_raised_again(tmp_path: Path) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    sleeper = job(tmp_path, "cell", code)

    def interrupt() -> None:
        deadline = time.monotonic() + 20
        while not latest_line(sleeper.folder).isdecimal() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run(sleeper)
    lines = (sleeper.folder / LOG_NAME).read_text().splitlines()
    pid = next(line for line in lines if line.isdecimal())
    assert not Path(f"/proc/{pid}").exists()
    assert not is_done(sleeper.folder)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can bind a child to its parent")
def test_a_child_ends_even_when_its_parent_is_killed(tmp_path: Path) -> None:
    child = "from attacker.cells.parent import end_with_parent as e; e(); import time, os; "
    child += f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    parent = (
        "import os, subprocess, sys, time; "
        f"env = dict(os.environ, {PARENT_VARIABLE}=str(os.getpid())); "
        f"subprocess.Popen([sys.executable, '-c', {child!r}], env=env); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT)
    deadline = time.monotonic() + 20
    while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)
    pid = int((tmp_path / "pid").read_text())
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_process_that_nobody_started_as_a_job_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(PARENT_VARIABLE, raising=False)
    end_with_parent()
    monkeypatch.setenv(PARENT_VARIABLE, "nobody")
    end_with_parent()
    assert PARENT_VARIABLE not in os.environ


def test_last_words_are_the_error_or_the_exit_code(tmp_path: Path) -> None:
    assert "exit code 137" in last_words(tmp_path, 137)
    (tmp_path / LOG_NAME).write_text("error: first\nerror: second. Do this.\nafterwards\n")
    assert last_words(tmp_path, 1) == "second. Do this."
    (tmp_path / LOG_NAME).write_bytes(b"\xff\xfe nothing\n" * 1000)
    assert "exit code 1" in last_words(tmp_path, 1)
