"""What waits for the model: the clips of one request, cut into slices."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from victim_service.errors import Refusal

Array = npt.NDArray[np.float32]


class Job:
    """The clips (B, T) of one request, until all their slices are done.

    It is made on the event loop; everything else may be called from any thread.
    """

    def __init__(self, clips: Array, deadline_s: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Array] = self.loop.create_future()
        self.gone = False
        """Whether nobody waits any more: what is left of it is dropped before the model."""
        self.pushed_at = time.monotonic()
        self.ends_at = self.pushed_at + deadline_s
        self.begun = False
        self._clips = clips
        self._lock = threading.Lock()
        self._missing = len(clips)
        self._answer: Array | None = None

    def clips(self, start: int, stop: int) -> Array:
        """Return the clips of one slice."""
        return self._clips[start:stop]

    def put(self, start: int, answer: Array) -> bool:
        """Keep the answer of one slice; True when it was the last one that was missing."""
        with self._lock:
            if self._answer is None:
                if len(answer) == len(self._clips):
                    self._answer = answer
                else:
                    self._answer = np.empty((len(self._clips), answer.shape[1]), dtype=np.float32)
            if self._answer is not answer:
                self._answer[start : start + len(answer)] = answer
            self._missing -= len(answer)
            return self._missing == 0

    def tell(self) -> None:
        """Hand the whole answer over; on the event loop."""
        if self._answer is None:
            raise RuntimeError("an answer was told before it was there")
        if not self.future.done():
            self.future.set_result(self._answer)

    def fail(self, code: str = "model-failed") -> None:
        """Refuse the request, unless it was answered."""
        self.gone = True

        def refuse() -> None:
            if not self.future.done():
                self.future.set_exception(Refusal(code, retry_after_s=1.0))

        _call_soon(self.loop, refuse)


def tell_all(jobs: list[Job]) -> None:
    """Hand over the answers of ``jobs``, in one wake-up of the event loop for all of a batch."""

    def tell_each() -> None:
        for job in jobs:
            job.tell()

    if jobs:
        _call_soon(jobs[0].loop, tell_each)


def _call_soon(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(act)


@dataclass(frozen=True, slots=True)
class Slice:
    """A few neighbouring clips of a job: the unit in which batches are put together."""

    job: Job
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def clips(self) -> Array:
        """Return its clips (B, T)."""
        return self.job.clips(self.start, self.stop)


class Pace:
    """How fast the model is: clips a second of all workers together, over the last batches."""

    _KEPT = 0.9

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._clips = 0.0
        self._seconds = 0.0

    def note(self, clips: int, seconds: float) -> None:
        """Count one call of the model by one worker."""
        self._clips = self._KEPT * self._clips + clips
        self._seconds = self._KEPT * self._seconds + seconds

    def clips_in(self, seconds: float) -> float:
        """Return how many clips are answered in ``seconds``; infinite before the first batch."""
        if self._seconds <= 0:
            return float("inf")
        return seconds * self._workers * self._clips / self._seconds

    def seconds_for(self, clips: int) -> float:
        """Return how long ``clips`` clips take; 0 before the first batch."""
        if self._clips <= 0:
            return 0.0
        return clips * self._seconds / (self._clips * self._workers)
