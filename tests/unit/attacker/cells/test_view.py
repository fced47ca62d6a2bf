"""What is said while cells run."""

import io
from pathlib import Path

from rich.console import Console

from attacker.cells.jobs import LOG_NAME, Job, State, Status
from attacker.cells.view import CellView, time_left_s


def status(
    name: str, state: State, *, cost_s: float = 1, took_s: float = 0, clips: int = 0
) -> Status:
    job = Job(name, (), Path("nowhere") / name, dict, cost_s=cost_s, progress=lambda: clips)
    return Status(job, state, took_s=took_s)


def test_time_left_is_told_from_what_was_finished_here() -> None:
    waiting = status("c", State.WAITING, cost_s=30)
    assert time_left_s([waiting, status("a", State.DONE, cost_s=10)], 5) is None  # done before
    finished = status("b", State.DONE, cost_s=10, took_s=5)
    assert time_left_s([waiting, finished], 5) == 15
    assert time_left_s([finished, status("d", State.FAILED, cost_s=9)], 5) == 0


def test_plain_output_has_the_headline_and_the_reasons(tmp_path: Path) -> None:
    out = io.StringIO()
    view = CellView(Console(file=out, width=200))
    failed = status("bad", State.FAILED)
    failed.reason = "no corpus there. Set EARSHOT_DATA."
    statuses = [status("good", State.DONE, took_s=61, clips=1500), failed]
    with view.shown():
        view.changed(statuses)
        view.changed(statuses)  # not said twice within half a minute
        view.ended(statuses[0])
        view.ended(failed)
    text = out.getvalue()
    assert text.count("1 of 2 done · 0 running · 1 failed · 1,500 clips paid") == 1
    assert "good: done in 1 min 1 s" in text
    assert "bad: failed: no corpus there. Set EARSHOT_DATA." in text


def test_a_terminal_shows_what_runs_now(tmp_path: Path) -> None:
    (tmp_path / LOG_NAME).write_text("attack: 64 of 200\n")
    out = io.StringIO()
    view = CellView(Console(file=out, width=100, force_terminal=True))
    job = Job("proxy-full-s0", (), tmp_path, dict, progress=lambda: 64)
    with view.shown():
        view.changed([Status(job, State.RUNNING)])
    assert "proxy-full-s0" in out.getvalue()
    assert "attack: 64 of 200" in out.getvalue()
    assert "1 running" in out.getvalue()
