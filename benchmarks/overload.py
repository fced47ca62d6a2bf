"""Ten times more than the service can answer, and five hundred connections that drip.

Overload: saturation is measured by 4 clients x 64 clips in closed loop, before and after; between
them requests of 64 clips arrive by the clock at ten times that rate, whatever becomes of them. The
clients run on the same processors, and making ten times the load takes some of them: that is told
as well. Limits: goodput is 0.9 of saturation, half of the refusals leave within 20 ms, and
everything that is not answered is refused with 503. Dripping: 8 clients x 1 clip, with and without
500 connections that send one byte of a body every second. Limit: their 99th percentile rises by 20
% at most.
"""

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable

from benchmarks.support import report
from benchmarks.support.processes import scratch, stop_on_sigterm
from benchmarks.support.raw_client import Connection, Load, closed_loop, run
from benchmarks.support.report import Figure, Report
from benchmarks.support.servers import Running, earshot, warm_up
from shared.runtime import available_processors

GOODPUT, REFUSAL_MS, RISE = 0.9, 20.0, 1.2
TIMES = 10
CLIPS = 64
DRIPS = 500
_CONNECTIONS = 700


def main() -> int:
    """Print the figures; return 1 where a limit is missed."""
    options = report.arguments(__doc__).parse_args()
    stop_on_sigterm()
    result = Report("overload")
    with scratch() as folder, earshot(folder, queue_clips=1024) as server:
        warm_up(server, [(4, CLIPS), (8, 1)])
        for _ in range(options.rounds):
            row = measure(server, options.seconds)
            result.rounds.append(row)
            print(", ".join(f"{name} {value:,.4g}" for name, value in row.items()), flush=True)
    column = {name: [row[name] for row in result.rounds] for name in result.rounds[0]}
    result.figures = [
        Figure("goodput at 10 times capacity / saturation", column["goodput"], GOODPUT),
        Figure("the same, of what the clients leave of the processors", column["goodput_of_rest"]),
        Figure("time to a refusal, p50", column["refusal_p50_ms"], REFUSAL_MS, "at most", "ms"),
        Figure("time to a refusal, p99", column["refusal_p99_ms"], unit="ms"),
        Figure("answers that are neither 200 nor 503", column["other"], 0, "at most", "answers"),
        Figure("p99 beside 500 dripping connections / without", column["drip"], RISE, "at most"),
    ]
    return result.finish(no_limit=options.no_limit)


def measure(server: Running, seconds: float) -> dict[str, float]:
    """Return the figures of one round."""
    idle, saturation = left_by_clients(lambda: server.load(4, CLIPS, seconds))
    per_s = TIMES * saturation.clips_per_s / CLIPS
    busy, flood = left_by_clients(lambda: run(arrivals(server, per_s, 2 * seconds)))
    run(asyncio.sleep(2.0))  # what was admitted is answered
    after = server.load(4, CLIPS, seconds)
    goodput = 2 * flood.clips_per_s / (saturation.clips_per_s + after.clips_per_s)
    alone = server.load(8, 1, seconds)
    beside = run(beside_drips(server, seconds))
    refusals_ms = sorted(1000 * value for value in flood.refusals_s) or [0.0]
    return {
        "saturation": saturation.clips_per_s,
        "goodput": goodput,
        "goodput_of_rest": goodput * idle / busy,
        "refused": float(flood.statuses[503]),
        "refusal_p50_ms": statistics.median(refusals_ms),
        "refusal_p99_ms": refusals_ms[int(0.99 * (len(refusals_ms) - 1))],
        "other": float(flood.failures - flood.statuses[503]),
        "p99_ms": 1000 * alone.latency_s(0.99),
        "drip": beside.latency_s(0.99) / alone.latency_s(0.99),
    }


def left_by_clients(load: Callable[[], Load]) -> tuple[float, Load]:
    """Return the share of all processors that this process left to others, and what it measured."""
    used, begun = time.process_time(), time.perf_counter()
    seen = load()
    share = (time.process_time() - used) / (time.perf_counter() - begun)
    return 1 - share / available_processors(), seen


async def arrivals(server: Running, per_s: float, seconds: float) -> Load:
    """Let ``per_s`` requests a second arrive by the clock; count what ends after the first third.

    In the first third the queue fills. An arrival that finds all connections busy is left out, as
    are those that the clock of a busy machine brings too late.
    """
    make, idle = server.make(CLIPS), [Connection(server.url) for _ in range(_CONNECTIONS)]
    begun = time.perf_counter()
    opens, closes = begun + seconds / 3, begun + seconds
    load, running, sent = Load(closes - opens), set[asyncio.Task[None]](), 0

    async def one(number: int) -> None:
        connection, started = idle.pop(), time.perf_counter()
        try:
            status = (await connection.send(make(number, 0), 60.0)).status
        except (OSError, TimeoutError):
            status = 0
        ended = time.perf_counter()
        idle.append(connection)
        if opens < ended <= closes:
            load.statuses[status] += 1
            load.clips += CLIPS if status == 200 else 0
            (load.latencies_s if status == 200 else load.refusals_s).append(ended - started)

    while (now := time.perf_counter()) < closes:
        due = min(int((now - begun) * per_s) - sent, len(idle), 32)
        for _ in range(due):
            task = asyncio.create_task(one(sent))
            running.add(task)
            task.add_done_callback(running.discard)
            sent += 1
        sent = max(sent, int((now - begun) * per_s) - 32)
        await asyncio.sleep(0.002)
    await asyncio.gather(*running)
    for connection in idle:
        connection.close()
    return load


async def beside_drips(server: Running, seconds: float) -> Load:
    """Measure 8 clients x 1 clip while connections drip."""
    async with dripping(server):
        return await closed_loop(server.url, server.make(1), clients=8, clips=1, seconds=seconds)


@contextlib.asynccontextmanager
async def dripping(server: Running) -> AsyncIterator[None]:
    """Keep ``DRIPS`` connections open, each sending a byte of a body every second."""
    head, body = server.make(CLIPS)(0, 0)
    host, port = server.url.removeprefix("http://").split(":")

    async def drip() -> None:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.write(head)
                for place in range(60):
                    if writer.is_closing():
                        break
                    writer.write(body[place : place + 1])
                    await asyncio.sleep(1.0)
                writer.close()

    tasks = [asyncio.create_task(drip()) for _ in range(DRIPS)]
    await asyncio.sleep(2.0)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    sys.exit(main())
