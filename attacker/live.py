"""What people see while clips are bought and surrogates are trained."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Column

from attacker.campaign import Progress as CampaignProgress
from attacker.waiting import show_duration, show_wait

_PLAIN_EVERY_S = 5.0
_WAIT_WORTH_SAYING_S = 5.0


class View:
    """Bars on a terminal; plain lines, a few a minute, where the output goes elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=12)),
            BarColumn(bar_width=12),
            MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=9)),
            # What gives way on a narrow terminal: its end.
            TextColumn(
                "{task.fields[facts]}",
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            console=console,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._spoken: dict[str, tuple[float, int]] = {}

    @contextmanager
    def shown(self) -> Iterator["View"]:
        """Show the bars for as long as the context lasts."""
        if self.console.is_terminal:
            with Live(self._bars, console=self.console, refresh_per_second=8):
                yield self
        else:
            yield self

    def note(self, text: str) -> None:
        """Say a sentence above the bars."""
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def step(self, name: str, done: int, total: int, facts: str = "") -> None:
        """Say that ``done`` of ``total`` units of ``name`` are done."""
        if self.console.is_terminal:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=total, facts=facts)
            self._bars.update(self._tasks[name], completed=done, total=total, facts=facts)
            return
        now = time.monotonic()
        at, shown = self._spoken.get(name, (0.0, -1))
        if (done >= total and shown < total) or now - at >= _PLAIN_EVERY_S:
            self._spoken[name] = (now, done)
            self.note(f"{name}: {done:,} of {total:,}  {facts}".rstrip())

    def corpus(self, what: str, done: int, total: int) -> None:
        """Show the making or decoding of a corpus."""
        self.step(what, done, total)


class CampaignView:
    """The listener of one campaign."""

    def __init__(self, view: View, name: str, n_classes: int) -> None:
        self.view = view
        self.name = name
        self.n_classes = n_classes
        self.refusals = 0
        self.retries = 0
        self._labels_only = False
        self._said_until = 0.0

    def counting(self, on_event: Callable[[str, dict[str, Any]], None]) -> Any:
        """Return ``on_event`` with refusals and retries counted, and long waits told."""

        def event(kind: str, facts: dict[str, Any]) -> None:
            self.refusals += kind == "refusal"
            self.retries += kind == "retry"
            on_event(kind, facts)
            self._say_wait(facts.get("wait_s", 0.0))
            if kind == "labels-only":
                self._say_labels_only()

        return event

    def _say_wait(self, wait_s: float) -> None:
        """Say what is waited for, once for all requests that wait at the same time."""
        now = time.monotonic()
        if wait_s >= _WAIT_WORTH_SAYING_S and now >= self._said_until:
            self._said_until = now + wait_s
            self.note(f"the plan's rate is used up; waits {show_wait(wait_s)}.")

    def _say_labels_only(self) -> None:
        if not self._labels_only:
            self._labels_only = True
            self.note(
                "the victim tells labels alone now, less than its card says; it may watch this "
                "account. They are kept, each as a probability of 1."
            )

    def progress(self, progress: CampaignProgress) -> None:
        """Show the state after an observed batch."""
        counts, rate = progress.counts, progress.clips_per_s
        left_s = (progress.budget - counts.observed) / rate if rate > 0 else 0.0
        facts = [
            f"ETA {show_duration(left_s)}",
            f"{rate:,.0f} clips/s",
            f"volume {counts.kept:,}",
            f"coverage {counts.labels_seen}/{self.n_classes}",
            f"refusals {self.refusals}",
            f"iteration {counts.iteration}/{progress.iterations}",
        ]
        self.view.step(self.name, counts.observed, progress.budget, " · ".join(facts))

    def note(self, text: str) -> None:
        """Say a sentence about the campaign."""
        self.view.note(f"{self.name}: {text}")
