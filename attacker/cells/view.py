"""What people see while cells run: how many are done, what runs now, and how long it may take."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from attacker.cells.cell import cut_short
from attacker.cells.jobs import State, Status, latest_line
from attacker.waiting import show_duration

_LOOK_EVERY_S = 2.0
_SPEAK_EVERY_S = 30.0


class CellView:
    """A table on a terminal; plain lines, two a minute, where the output goes elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None
        self._looked = self._spoken = 0.0
        self._begun = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator["CellView"]:
        """Show the jobs for as long as the context lasts."""
        self._begun = time.monotonic()
        if not self.console.is_terminal:
            yield self
            return
        with Live(console=self.console, auto_refresh=False) as live:
            self._live = live
            try:
                yield self
            finally:
                self._live = None

    def changed(self, statuses: Sequence[Status]) -> None:
        """Show the state of all jobs, every few seconds."""
        now = time.monotonic()
        if self._live is not None and now - self._looked >= _LOOK_EVERY_S:
            self._looked = now
            self._live.update(self._table(statuses), refresh=True)
        elif self._live is None and now - self._spoken >= _SPEAK_EVERY_S:
            self._spoken = now
            self.note(self._headline(statuses))

    def ended(self, status: Status) -> None:
        """Say how a job ended."""
        if status.state is State.DONE:
            early = cut_short(status.job.folder)
            how = f"done in {show_duration(status.took_s)}" + (f": {early}" if early else "")
            self.note(f"{status.job.name}: {how}")
        else:
            self.note(f"{status.job.name}: {status.state.value}: {status.reason}")

    def note(self, text: str) -> None:
        """Say a sentence."""
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def _headline(self, statuses: Sequence[Status]) -> str:
        count = {state: sum(s.state is state for s in statuses) for state in State}
        words = [f"{count[State.DONE]} of {len(statuses)} done", f"{count[State.RUNNING]} running"]
        lost = count[State.FAILED] + count[State.BLOCKED]
        words += [f"{lost} failed"] if lost else []
        words.append(f"{sum(status.clips for status in statuses):,} clips paid")
        left_s = time_left_s(statuses, time.monotonic() - self._begun)
        words += [f"about {show_duration(left_s)} left"] if left_s is not None else []
        return " · ".join(words)

    def _table(self, statuses: Sequence[Status]) -> Table:
        table = Table(box=box.SIMPLE, caption=self._headline(statuses), caption_justify="left")
        table.add_column("running", no_wrap=True)
        table.add_column("for", justify="right", no_wrap=True)
        table.add_column("clips", justify="right", no_wrap=True)
        table.add_column("now", no_wrap=True, overflow="ellipsis")
        for status in statuses:
            if status.state is State.RUNNING:
                for_s = show_duration(time.monotonic() - status.started)
                clips = f"{status.clips:,}"
                table.add_row(status.job.name, for_s, clips, latest_line(status.job.folder))
        return table


def time_left_s(statuses: Sequence[Status], elapsed_s: float) -> float | None:
    """Return about how many seconds are left, from what this process has finished; None if unknown.

    Jobs are weighed by what they were expected to cost.
    """
    finished = sum(s.job.cost_s for s in statuses if s.state is State.DONE and s.took_s > 0)
    waiting = sum(s.job.cost_s for s in statuses if s.state in (State.WAITING, State.RUNNING))
    if not finished:
        return None
    return elapsed_s * waiting / finished
