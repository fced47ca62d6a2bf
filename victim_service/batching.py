"""Micro-batching: a bounded queue in front of the model's threads.

Requests come from the event loop, are cut into slices, and run in batches on worker threads. A
thread that is free takes what waits at once; only while another one is busy does it wait a little
for more. One clip's failure is its own: a batch that fails is run again slice by slice. What nobody
waits for any more, or what cannot be in time any more, never reaches the model. If a worker dies or
hangs, or the model fails on everything, every waiter is told and ``alive`` turns false.
"""

import asyncio
import contextlib
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import structlog

from victim_service.errors import Refusal
from victim_service.turns import give_way
from victim_service.waiting import Array, Job, Pace, Slice, tell_all

_log = structlog.get_logger("victim")

Predict = Callable[[Array], Array]
"""(B, T) clips to rows (B, K + E): probabilities, and what the model has beside them."""

_SLICE_CLIPS = 8
_SHORTEST_RETRY_S, _LONGEST_RETRY_S = 1.0, 10.0
_STOP_S = 4.0
_NEVER = float("inf")
_DEAD_AFTER_BATCHES = 8
"""Batches in a row that the model failed on as a whole and clip by clip, as a lost GPU does:
a restart may help, waiting will not."""


class Observer(Protocol):
    """Is told what the batcher does, from its worker threads."""

    def batch(self, clips: int, seconds: float) -> None:
        """Note one call of the model."""
        ...

    def waited(self, seconds: float) -> None:
        """Note how long a request waited until its first clip was taken."""
        ...


class Place:
    """Room in the queue for one request, held from before it is paid until it is answered."""

    def __init__(self, batcher: "Batcher", clips: int) -> None:
        self._batcher = batcher
        self._clips = clips
        self._job: Job | None = None

    def push(self, clips: Array) -> asyncio.Future[Array]:
        """Queue ``clips`` (B, T); return what will hold their rows (B, K + E).

        It may hold a Refusal instead: model-failed or deadline-passed. Once only.
        """
        if len(clips) > self._clips or self._job is not None:
            raise ValueError(f"the place holds {self._clips} clips, once. Admit more.")
        self._job = self._batcher.push(clips)
        return self._job.future

    def drop(self) -> None:
        """Nobody waits for the answer any more: what has not begun does not begin."""
        if self._job is not None:
            self._job.gone = True
            self._job.future.cancel()

    async def run(self, clips: Array) -> Array:
        """Return the rows (B, K + E) of ``clips`` (B, T); cancel it to drop the request.

        Raises:
            Refusal: model-failed, deadline-passed.
        """
        try:
            return await self.push(clips)
        finally:
            self.drop()


class Batcher:
    """Runs ``predict`` on ``workers`` threads; use as an asynchronous context manager.

    ``queue_clips`` bounds what may wait in clips and ``queue_wait_s`` in seconds, by the measured
    pace of the model: a slow one must not take in more than it can answer in time.
    """

    def __init__(
        self,
        predict: Predict,
        *,
        workers: int = 1,
        batch_clips: int = 32,
        wait_s: float = 0.002,
        queue_clips: int = 4096,
        queue_wait_s: float = 10.0,
        deadline_s: float = 20.0,
        stall_s: float = 30.0,
        observer: Observer | None = None,
    ) -> None:
        self._predict = predict
        self._batch_clips = batch_clips
        self._wait_s = wait_s
        self._queue_clips = queue_clips
        self._queue_wait_s = queue_wait_s
        self._deadline_s = deadline_s
        self._stall_s = stall_s
        self._observer = observer
        self._pace = Pace(workers)
        self._changed = threading.Condition()
        self._slices: deque[Slice] = deque()
        self._waiting_clips = 0
        self._admitted_clips = 0
        self._running: dict[int, list[Slice]] = {}
        self._begun_at = [_NEVER] * workers
        """When each worker called the model; far in the future where it does not."""
        self._alive = False
        self._failed_in_a_row = 0
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"model {number}", daemon=True)
            for number in range(workers)
        ]
        self._watchdog: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self._alive = True
        self._watchdog = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._alive, self._stopping = False, True
            self._changed.notify_all()
        ends_at = time.monotonic() + _STOP_S
        for thread in self._threads:
            # One that hangs is left behind: it is a daemon, and nobody waits for its answer.
            await asyncio.to_thread(thread.join, max(0.0, ends_at - time.monotonic()))
        if self._watchdog is not None:
            self._watchdog.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watchdog

    @property
    def alive(self) -> bool:
        """Whether every worker lives and none has been in one call for very long."""
        # Asked for every request, so without a lock: each worker writes its own time only.
        return self._alive and time.monotonic() - min(self._begun_at) < self._stall_s

    @property
    def waiting_clips(self) -> int:
        """Clips that no worker has taken yet."""
        return self._waiting_clips

    def check_room(self, clips: int) -> None:
        """Return when ``clips`` clips would be admitted now.

        Raises:
            Refusal: queue-full, with the time that the queue takes; or model-failed.
        """
        if not self.alive:
            raise Refusal("model-failed", retry_after_s=_SHORTEST_RETRY_S)
        limit = self._pace.clips_in(self._queue_wait_s)
        # Every worker is always kept busy, however slow it is.
        limit = max(limit, 2 * self._batch_clips * len(self._threads))
        # A request larger than the whole queue is let in when nothing else is there.
        if self._admitted_clips and self._admitted_clips + clips > min(limit, self._queue_clips):
            wait_s = self._pace.seconds_for(self._admitted_clips)
            retry_after_s = min(max(wait_s, _SHORTEST_RETRY_S), _LONGEST_RETRY_S)
            raise Refusal("queue-full", retry_after_s=retry_after_s)

    @contextmanager
    def admit(self, clips: int) -> Iterator[Place]:
        """Hold room for ``clips`` clips; to be called from the event loop, before they are paid.

        Raises:
            Refusal: queue-full or model-failed.
        """
        self.check_room(clips)
        self._admitted_clips += clips
        try:
            yield Place(self, clips)
        finally:
            self._admitted_clips -= clips

    def push(self, clips: Array) -> Job:
        """Queue ``clips`` (B, T); to be called from the event loop."""
        job, count = Job(clips, self._deadline_s), len(clips)
        with self._changed:
            if not self._alive:
                job.fail()
                return job
            for start in range(0, count, _SLICE_CLIPS):
                self._slices.append(Slice(job, start, min(count, start + _SLICE_CLIPS)))
            self._waiting_clips += count
            self._changed.notify()
        return job

    def _work(self, number: int) -> None:
        give_way()
        try:
            while batch := self._take(number):
                self._run(batch)
                with self._changed:
                    del self._running[number]
                    self._begun_at[number] = _NEVER
        except BaseException as error:
            # What must be done first: a log may fail, too.
            self._alive = False
            self._fail_waiters()
            _log.error("a model thread died", error=type(error).__name__)

    def _take(self, number: int) -> list[Slice]:
        """Return the next batch, or nothing when the batcher stops and the queue is empty."""
        with self._changed:
            while True:
                while not self._slices and not self._stopping:
                    self._changed.wait()
                if not self._alive and not self._stopping:
                    return []
                if self._running and self._waiting_clips < _SLICE_CLIPS and self._wait_s:
                    self._changed.wait(self._wait_s)
                batch = self._pop()
                if batch:
                    self._running[number] = batch
                    self._begun_at[number] = time.monotonic()
                    if self._slices:
                        self._changed.notify()  # one push wakes one worker, this wakes the next
                    return batch
                if self._stopping:
                    return []

    def _pop(self) -> list[Slice]:
        # A fair share, so that a lone request spreads over all idle workers.
        idle = max(1, len(self._threads) - len(self._running))
        share = -(-self._waiting_clips // idle)
        room = min(self._batch_clips, max(share, _SLICE_CLIPS))
        now = time.monotonic()
        batch: list[Slice] = []
        while self._slices:
            item = self._slices[0]
            if self._wanted(item.job, now):
                if batch and len(item) > room:
                    break
                batch.append(item)
                room -= len(item)
            self._waiting_clips -= len(item)
            self._slices.popleft()
        return batch

    def _wanted(self, job: Job, now: float) -> bool:
        if job.gone:
            return False
        if now > job.ends_at:
            job.fail("deadline-passed")
            return False
        if not job.begun:
            job.begun = True
            if self._observer is not None:
                self._observer.waited(now - job.pushed_at)
        return True

    def _run(self, batch: list[Slice]) -> None:
        try:
            answer = self._call([item.clips() for item in batch])
        except Exception as error:
            self._log_failure(error)
            good = [self._run_alone(item) for item in batch]
            self._judge(any(good))
            return
        self._judge(True)
        done: list[Job] = []
        start = 0
        for item in batch:
            part = answer[start : start + len(item)]
            start += len(item)
            if not np.isfinite(part).all():
                item.job.fail()
            elif item.job.put(item.start, part):
                done.append(item.job)
        tell_all(done)

    def _run_alone(self, item: Slice) -> bool:
        """Answer one slice of a batch that failed; tell whether the model did."""
        if item.job.gone:
            return False
        try:
            answer = self._call([item.clips()])
        except Exception:
            item.job.fail()
            return False
        if not np.isfinite(answer).all():
            item.job.fail()
        elif item.job.put(item.start, answer):
            tell_all([item.job])
        return True

    def _log_failure(self, error: Exception) -> None:
        """Say where the model failed, once in a row of failures; a message might quote a clip."""
        if self._failed_in_a_row == 0:
            frames = [line.strip() for line in traceback.format_tb(error.__traceback__)[-3:]]
            _log.error("the model failed", error=type(error).__name__, frames=frames)

    def _judge(self, good: bool) -> None:
        """Count batches of which nothing was answered: a model that always fails is dead."""
        self._failed_in_a_row = 0 if good else self._failed_in_a_row + 1
        if self._failed_in_a_row == _DEAD_AFTER_BATCHES:
            self._alive = False
            self._fail_waiters()
            _log.error("the model is given up", failed_batches=_DEAD_AFTER_BATCHES)

    def _call(self, parts: list[Array]) -> Array:
        clips = parts[0] if len(parts) == 1 else np.concatenate(parts)
        begun = time.perf_counter()
        answer = self._predict(clips)
        if len(answer) != len(clips):
            raise ValueError(f"the model gave {len(answer)} answers for {len(clips)} clips")
        seconds = time.perf_counter() - begun
        with self._changed:
            self._pace.note(len(clips), seconds)
        if self._observer is not None:
            self._observer.batch(len(clips), seconds)
        return answer

    def _fail_waiters(self) -> None:
        with self._changed:
            lost = [*self._slices, *(item for batch in self._running.values() for item in batch)]
            self._slices.clear()
            self._waiting_clips = 0
            self._changed.notify_all()
        for job in {item.job for item in lost}:
            job.fail()

    async def _watch(self) -> None:
        """Tell the waiters when a worker hangs; it may come back, and then serves again."""
        while True:
            await asyncio.sleep(min(0.5, self._stall_s / 4))
            if not self.alive:
                self._fail_waiters()
