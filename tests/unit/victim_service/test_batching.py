import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
import structlog

from victim_service import batching
from victim_service.batching import Batcher
from victim_service.errors import Refusal
from victim_service.waiting import Array


def mark(clips: Array) -> Array:
    """An answer that names its clip: (sum, first sample)."""
    return np.stack([clips.sum(axis=1), clips[:, 0]], axis=1)


def clips_of(*values: float) -> Array:
    return np.tile(np.array(values, dtype=np.float32)[:, None], (1, 4))


def run(batcher: Batcher, work: Callable[[], Awaitable[object]]) -> object:
    async def main() -> object:
        async with batcher:
            return await asyncio.wait_for(work(), 20)

    return asyncio.run(main())


async def ask(batcher: Batcher, clips: Array) -> Array:
    with batcher.admit(len(clips)) as place:
        return await place.run(clips)


class Gate:
    """A model that waits until it is opened, and remembers what it was given."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.batches: list[list[float]] = []

    def __call__(self, clips: Array) -> Array:
        self.batches.append([float(value) for value in clips[:, 0]])
        self.entered.set()
        if not self.open.wait(10):
            raise TimeoutError
        return mark(clips)


@pytest.mark.parametrize("workers", [1, 3])
def test_every_request_gets_the_answers_of_its_own_clips_in_order(workers):
    batcher = Batcher(mark, workers=workers, batch_clips=16)
    requests = [clips_of(*range(start, start + 1 + start % 37)) for start in range(100)]

    async def work() -> list[Array]:
        return await asyncio.gather(*(ask(batcher, clips) for clips in requests))

    for clips, answer in zip(requests, run(batcher, work), strict=True):
        np.testing.assert_array_equal(answer, mark(clips))


def test_waiting_requests_share_a_batch_that_is_bounded():
    gate = Gate()
    batcher = Batcher(gate, batch_clips=8)

    async def work() -> None:
        first = asyncio.create_task(ask(batcher, clips_of(0)))
        await asyncio.to_thread(gate.entered.wait, 5)
        rest = [asyncio.create_task(ask(batcher, clips_of(n))) for n in range(1, 21)]
        await asyncio.sleep(0.05)
        gate.open.set()
        await asyncio.gather(first, *rest)

    run(batcher, work)
    assert gate.batches[0] == [0.0]
    assert [len(batch) for batch in gate.batches[1:]] == [8, 8, 4]


def test_a_full_queue_refuses_at_the_door_and_is_free_again_afterwards():
    gate = Gate()
    batcher = Batcher(gate, queue_clips=10)

    async def work() -> None:
        first = asyncio.create_task(ask(batcher, clips_of(*range(8))))
        await asyncio.to_thread(gate.entered.wait, 5)
        with pytest.raises(Refusal, match="queue-full"), batcher.admit(3):
            pass
        gate.open.set()
        await first
        assert len(await ask(batcher, clips_of(*range(10)))) == 10

    run(batcher, work)


def test_a_request_larger_than_the_queue_is_served_when_it_is_alone():
    batcher = Batcher(mark, queue_clips=4)
    answer = run(batcher, lambda: ask(batcher, clips_of(*range(50))))
    assert len(answer) == 50


@pytest.mark.parametrize("poison", ["raise", "nan"])
def test_a_poisoned_clip_fails_its_own_request_only(poison):
    def model(clips: Array) -> Array:
        bad = clips[:, 0] == 13
        if poison == "raise" and bad.any():
            raise RuntimeError("13")
        answer = mark(clips)
        answer[bad] = np.nan
        return answer

    batcher = Batcher(model, batch_clips=32)
    requests = [clips_of(n, n + 0.5) for n in range(30)]

    async def work() -> list[object]:
        asked = (ask(batcher, clips) for clips in requests)
        return await asyncio.gather(*asked, return_exceptions=True)

    for number, outcome in enumerate(run(batcher, work)):
        if number == 13:
            assert isinstance(outcome, Refusal)
            assert outcome.code == "model-failed"
        else:
            np.testing.assert_array_equal(outcome, mark(requests[number]))
    assert not batcher.alive  # it was stopped by now


def test_the_service_lives_on_after_a_poisoned_clip():
    def model(clips: Array) -> Array:
        if (clips == 13).any():
            raise RuntimeError("13")
        return mark(clips)

    batcher = Batcher(model)

    async def work() -> None:
        with pytest.raises(Refusal, match="model-failed"):
            await ask(batcher, clips_of(13))
        assert batcher.alive
        assert len(await ask(batcher, clips_of(1))) == 1

    run(batcher, work)


def test_a_model_that_answers_too_few_clips_is_a_failure_not_a_shift():
    batcher = Batcher(lambda clips: mark(clips)[:-1] if len(clips) > 1 else mark(clips))

    async def work() -> None:
        with pytest.raises(Refusal, match="model-failed"):
            await ask(batcher, clips_of(1, 2, 3))

    run(batcher, work)


def test_a_cancelled_request_never_reaches_the_model():
    gate = Gate()
    batcher = Batcher(gate)

    async def work() -> None:
        first = asyncio.create_task(ask(batcher, clips_of(0)))
        await asyncio.to_thread(gate.entered.wait, 5)
        gone = asyncio.create_task(ask(batcher, clips_of(66)))
        kept = asyncio.create_task(ask(batcher, clips_of(1)))
        await asyncio.sleep(0.02)
        gone.cancel()
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(first, kept)
        assert batcher.waiting_clips == 0

    run(batcher, work)
    assert [66.0] not in gate.batches
    assert sorted(value for batch in gate.batches for value in batch) == [0.0, 1.0]


def test_a_dead_worker_fails_every_waiter_and_turns_alive_false():
    died = threading.Event()

    def model(clips: Array) -> Array:
        died.wait(5)
        raise SystemExit

    batcher = Batcher(model, batch_clips=2)

    async def work() -> None:
        asked = [asyncio.create_task(ask(batcher, clips_of(n))) for n in range(12)]
        await asyncio.sleep(0.05)
        begun = time.monotonic()
        died.set()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert {getattr(outcome, "code", outcome) for outcome in outcomes} == {"model-failed"}
        assert not batcher.alive
        assert time.monotonic() - begun < 2
        with pytest.raises(Refusal, match="model-failed"):
            await ask(batcher, clips_of(1))

    run(batcher, work)


def test_a_worker_that_hangs_fails_every_waiter_and_may_come_back():
    gate = Gate()
    batcher = Batcher(gate, batch_clips=2, stall_s=0.4)

    async def work() -> None:
        begun = time.monotonic()
        asked = [asyncio.create_task(ask(batcher, clips_of(n))) for n in range(7)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert {getattr(outcome, "code", outcome) for outcome in outcomes} == {"model-failed"}
        assert not batcher.alive
        assert 0.3 < time.monotonic() - begun < 2
        with pytest.raises(Refusal, match="model-failed"), batcher.admit(1):
            pass
        gate.open.set()
        while not batcher.alive:
            await asyncio.sleep(0.01)
        assert len(await ask(batcher, clips_of(1, 2))) == 2

    run(batcher, work)


def test_stopping_does_not_wait_for_a_worker_that_hangs(monkeypatch):
    monkeypatch.setattr(batching, "_STOP_S", 0.2)
    gate = Gate()
    batcher = Batcher(gate)

    async def work() -> float:
        async with batcher:
            asked = asyncio.create_task(ask(batcher, clips_of(1)))
            await asyncio.to_thread(gate.entered.wait, 5)
            asked.cancel()
            begun = time.monotonic()
        return time.monotonic() - begun

    assert asyncio.run(work()) < 2
    gate.open.set()


def test_what_cannot_be_in_time_any_more_never_reaches_the_model():
    gate = Gate()
    batcher = Batcher(gate, deadline_s=0.2)

    async def work() -> None:
        first = asyncio.create_task(ask(batcher, clips_of(0)))
        await asyncio.to_thread(gate.entered.wait, 5)
        late = asyncio.create_task(ask(batcher, clips_of(66)))
        await asyncio.sleep(0.3)
        in_time = asyncio.create_task(ask(batcher, clips_of(1)))
        await asyncio.sleep(0.02)
        gate.open.set()
        await asyncio.gather(first, in_time)
        with pytest.raises(Refusal, match="deadline-passed"):
            await late

    run(batcher, work)
    assert sorted(value for batch in gate.batches for value in batch) == [0.0, 1.0]


def test_a_slow_model_takes_in_no_more_than_it_can_answer_in_time():
    def model(clips: Array) -> Array:
        time.sleep(0.01 * len(clips))  # 100 clips/s
        return mark(clips)

    batcher = Batcher(model, batch_clips=4, queue_wait_s=0.2)

    async def work() -> None:
        await ask(batcher, clips_of(*range(8)))
        with batcher.admit(16):
            with pytest.raises(Refusal, match="queue-full"), batcher.admit(16):
                pass
            with batcher.admit(1):
                pass

    run(batcher, work)


def test_a_refusal_names_the_time_that_the_queue_takes():
    def model(clips: Array) -> Array:
        time.sleep(0.01 * len(clips))
        return mark(clips)

    batcher = Batcher(model, batch_clips=8, queue_clips=400, queue_wait_s=60)

    async def work() -> None:
        await ask(batcher, clips_of(*range(8)))
        with batcher.admit(400), pytest.raises(Refusal, match="queue-full") as refused:
            batcher.check_room(1)
        assert 3 <= refused.value.retry_after_s <= 6
        with batcher.admit(5000), pytest.raises(Refusal, match="queue-full") as refused:
            batcher.check_room(1)
        assert refused.value.retry_after_s == 10

    run(batcher, work)


class Notes:
    """An observer that remembers what it was told."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.waits: list[float] = []

    def batch(self, clips: int, seconds: float) -> None:
        assert seconds >= 0
        self.batches.append(clips)

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)


def test_waits_and_batches_are_told():
    gate, notes = Gate(), Notes()
    batcher = Batcher(gate, batch_clips=8, observer=notes)

    async def work() -> None:
        first = asyncio.create_task(ask(batcher, clips_of(0)))
        await asyncio.to_thread(gate.entered.wait, 5)
        second = asyncio.create_task(ask(batcher, clips_of(*range(20))))
        await asyncio.sleep(0.1)
        gate.open.set()
        await asyncio.gather(first, second)

    run(batcher, work)
    assert sum(notes.batches) == 21
    first, second = notes.waits
    assert first < 0.1 <= second


def test_stopping_answers_what_waits():
    gate = Gate()
    batcher = Batcher(gate, batch_clips=2)

    async def work() -> list[Array]:
        async with batcher:
            asked = [asyncio.create_task(ask(batcher, clips_of(n))) for n in range(9)]
            await asyncio.sleep(0.05)
            threading.Timer(0.1, gate.open.set).start()
        return await asyncio.gather(*asked)

    assert len(asyncio.run(work())) == 9


def test_a_lone_request_is_shared_among_idle_workers():
    threads: set[int] = set()
    both = threading.Barrier(2, timeout=5)

    def model(clips: Array) -> Array:
        threads.add(threading.get_ident())
        both.wait()  # passes only when two workers are in the model at once
        return mark(clips)

    batcher = Batcher(model, workers=2, batch_clips=32)
    answer = run(batcher, lambda: ask(batcher, clips_of(*range(32))))
    assert len(answer) == 32
    assert len(threads) == 2


def test_a_model_that_fails_on_everything_is_given_up_and_says_why():
    def lost(clips: Array) -> Array:
        raise RuntimeError(f"cannot take {clips[0, 0]:.3f}")

    batcher = Batcher(lost)

    async def work() -> None:
        for _ in range(batching._DEAD_AFTER_BATCHES):
            assert batcher.alive
            with pytest.raises(Refusal, match="model-failed"):
                await ask(batcher, clips_of(0.123))
        while batcher.alive:  # the thread tells the waiter before it takes stock
            await asyncio.sleep(0.01)

    with structlog.testing.capture_logs() as logs:
        run(batcher, work)
    assert [line["event"] for line in logs] == ["the model failed", "the model is given up"]
    assert logs[0]["error"] == "RuntimeError"
    assert "in lost" in logs[0]["frames"][-1]
    assert "0.123" not in str(logs)


def test_clips_that_break_the_model_do_not_make_it_dead_while_others_are_answered():
    def model(clips: Array) -> Array:
        if (clips[:, 0] == 13).any():
            raise RuntimeError
        return mark(clips)

    batcher = Batcher(model)

    async def work() -> None:
        for number in range(3 * batching._DEAD_AFTER_BATCHES):
            if number % 4 == 3:
                await ask(batcher, clips_of(1))
                continue
            with pytest.raises(Refusal, match="model-failed"):
                await ask(batcher, clips_of(13))
        assert batcher.alive

    run(batcher, work)


def test_a_worker_that_dies_tells_its_waiters_even_when_the_log_fails(monkeypatch):
    class Dead(BaseException):
        pass

    class FullDisk:
        def error(self, *_: object, **__: object) -> None:
            raise OSError("no space left")

    def model(clips: Array) -> Array:
        raise Dead

    monkeypatch.setattr(batching, "_log", FullDisk())
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    batcher = Batcher(model)

    async def work() -> None:
        with pytest.raises(Refusal, match="model-failed"):
            await ask(batcher, clips_of(1))
        assert not batcher.alive

    run(batcher, work)
