"""What a person sees while a victim is trained."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from shared.training import Epoch
from victim_service.train import Data

_SHOWN = 20


class LiveReport:
    """A Rich progress bar, with one line an epoch above it; the reporter of ``train``."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._corpus = self._bars.add_task("corpus", total=None, visible=False)
        self._steps = self._bars.add_task("training steps", total=None, visible=False)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def corpus_progress(self, what: str, done: int, total: int) -> None:
        """Move the bar of the corpus."""
        unfinished = done < total
        self._bars.update(
            self._corpus, description=what, completed=done, total=total, visible=unfinished
        )

    def corpus_ready(self, data: Data) -> None:
        """Say what was found, and name what could not be used."""
        split, store = data.split, data.store
        self._console.print(
            f"{len(data.names)} speakers, {len(store.clips)} clips: {len(split.train)} to train, "
            f"{len(split.validation)} to validate, {len(split.test)} to test"
        )
        if store.skipped:
            self._console.print(f"[yellow]{len(store.skipped)} files were left out:[/]")
            for item in store.skipped[:_SHOWN]:
                self._console.print(f"  {item.path}: {item.reason}", markup=False)
            if len(store.skipped) > _SHOWN:
                self._console.print(f"  and {len(store.skipped) - _SHOWN} more")
        if data.left_out:
            self._console.print(
                f"{len(data.left_out)} speakers have too few clips and were left out: "
                + ", ".join(data.left_out[:_SHOWN]),
                markup=False,
            )

    def step(self, done: int, total: int) -> None:
        """Move the bar of the training."""
        self._bars.update(self._steps, completed=done, total=total, visible=done < total)

    def epoch(self, epoch: Epoch) -> None:
        """Print the line of an epoch."""
        self._console.print(
            f"epoch {epoch.number:3d}/{epoch.of}  loss {epoch.train_loss:7.4f}  validation "
            f"{100 * epoch.validation_accuracy:5.1f} %  {epoch.clips_per_s:6.0f} clips/s"
            + ("  best so far" if epoch.best else "")
        )
