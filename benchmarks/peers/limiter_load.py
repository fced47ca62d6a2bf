"""Rate limiters of others in closed loop, in the peers' environment.

``python -m benchmarks.peers.limiter_load {limits,throttled} URL TASKS``; the URL names a Redis, or
is ``memory``. One check each: no record of the query, no budget, nothing to commit.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop
from limits import RateLimitItemPerSecond
from limits.aio import storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from throttled.asyncio import RateLimiterType, Throttled, per_sec, store

from benchmarks.support.worker import answer

_PLENTY = 10**6
Check = Callable[[], Awaitable[bool]]
"""Take one from the limit; True when it was granted."""


def limits_check(url: str) -> Check:
    """Return a check of ``limits``: sliding window counter, asynchronous."""
    kept = (
        storage.MemoryStorage()
        if url == "memory"
        else storage.RedisStorage(f"async+{url}", implementation="redispy")
    )
    limiter = SlidingWindowCounterRateLimiter(kept)
    item = RateLimitItemPerSecond(_PLENTY)
    return lambda: limiter.hit(item, "bench")


def throttled_check(url: str) -> Check:
    """Return a check of ``throttled-py``: GCRA, asynchronous."""
    kept = store.MemoryStore() if url == "memory" else store.RedisStore(server=url)
    throttle = Throttled(
        key="bench",
        using=RateLimiterType.GCRA.value,
        quota=per_sec(_PLENTY, burst=_PLENTY),
        store=kept,
    )

    async def check() -> bool:
        return not (await throttle.limit()).limited

    return check


async def measure(check: Check, tasks: int, seconds: float) -> dict[str, float]:
    """Return checks a second."""
    begun, done = time.perf_counter(), 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() - begun < seconds:
            if not await check():
                raise RuntimeError("a check was refused: the limit is not as wide as meant")
            done += 1
            if done % 64 == 0:
                await asyncio.sleep(0)  # in memory nothing else would let the others run

    await asyncio.gather(*(caller() for _ in range(tasks)))
    return {"per_s": done / (time.perf_counter() - begun)}


def main() -> None:
    """Answer every line of standard input with one measurement."""
    name, url, tasks = sys.argv[1], sys.argv[2], int(sys.argv[3])
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    check = {"limits": limits_check, "throttled": throttled_check}[name](url)
    answer(lambda seconds: loop.run_until_complete(measure(check, tasks, seconds)))


if __name__ == "__main__":
    main()
