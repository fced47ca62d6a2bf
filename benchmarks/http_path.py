"""The whole HTTP path (wire, ledger, batching, model) against the network's own batched forward.

A ``desk`` victim with random weights is served by a real process on SQLite; npy goes both ways. The
forward rate of the plain network, at its best batch, is measured by another process in turn with
it, on the same processors, and every round gives one ratio for each load:

* 4 clients x 64 clips, limit 0.85, and 32 clients x 1 clip, limit 0.6, from a lean client;
* 4 tasks x 64 clips of the attacker's own client, which costs processors of its own: limit 0.85.
"""

import argparse
import asyncio
import os
import sys
import time

import numpy as np

from attacker.http_oracle import HttpOracle
from benchmarks.forward import SAMPLES
from benchmarks.support import report
from benchmarks.support.processes import scratch, stop_on_sigterm
from benchmarks.support.raw_client import Load
from benchmarks.support.report import Figure, Report
from benchmarks.support.servers import Running, earshot, warm_up
from benchmarks.support.worker import Ask, worker
from shared.seeding import derive

BATCHES = (4, 64)
SINGLES = (32, 1)
LIMITS = {BATCHES: 0.85, SINGLES: 0.6}


def main() -> int:
    """Print the figures; return 1 where a limit is missed."""
    options = report.arguments(__doc__, rounds=7).parse_args()
    stop_on_sigterm()
    result = Report("http_path")
    with scratch() as folder, earshot(folder) as server:
        warm_up(server, list(LIMITS))
        with worker("benchmarks.forward") as forward:
            forward(0.5)
            for number in range(1, options.rounds + 1):
                result.rounds.append(measure(server, forward, options, number))
                print(told(result.rounds[-1]), flush=True)
    result.figures = figures(result)
    return result.finish(no_limit=options.no_limit)


def name_of(load: tuple[int, int]) -> str:
    """Return the name of a load in tables."""
    return f"{load[0]} clients x {load[1]} clip{'s' if load[1] > 1 else ''}"


def measure(
    server: Running,
    forward: Ask,
    options: argparse.Namespace,
    number: int,
) -> dict[str, float]:
    """Return all rates of one round, in clips/s; the forward rate is taken before and after."""
    row: dict[str, float] = {}
    before = forward(options.seconds / 4)
    for load in LIMITS:
        seen = server.load(*load, options.seconds)
        row[name_of(load)] = checked(seen).clips_per_s
        row[f"{name_of(load)}, p99 s"] = seen.latency_s(0.99)
    key = server.headers["Authorization"].removeprefix("Bearer ")
    row["attacker's client"] = asyncio.run(oracle_rate(server.url, key, options.seconds, number))
    after = forward(options.seconds / 4)
    for name in before:
        row[name] = (before[name] + after[name]) / 2
    return row


def figures(result: Report) -> list[Figure]:
    """Return the ratios of all rounds."""

    def ratios(name: str, to: str = "plain") -> list[float]:
        return [row[name] / row[to] for row in result.rounds]

    found = [
        Figure(f"HTTP / forward, {name_of(load)}", ratios(name_of(load)), limit)
        for load, limit in LIMITS.items()
    ]
    found += [
        Figure(f"HTTP / {of} forward, {name_of(load)}", ratios(name_of(load), of))
        for of in ("plain, side by side", "folded", "folded, side by side")
        if of in result.rounds[0]
        for load in LIMITS
    ]
    client = Figure(
        "attacker's client / forward, 4 tasks x 64 clips",
        ratios("attacker's client"),
        LIMITS[BATCHES],
    )
    rate = [row["plain"] for row in result.rounds]
    return [*found, client, Figure("forward of the plain network", rate, unit="clips/s")]


def told(row: dict[str, float]) -> str:
    """Return one round as a line."""
    rates = [name for name in row if not name.endswith(" s")]
    return ", ".join(f"{name} {row[name]:,.0f}" for name in rates) + " clips/s"


def checked(load: Load) -> Load:
    """Return ``load``.

    Raises:
        RuntimeError: a request was refused or lost: then the rate is not what it seems.
    """
    if load.failures or not load.clips:
        raise RuntimeError(f"not all requests were answered with 200: {dict(load.statuses)}")
    return load


async def oracle_rate(url: str, key: str, seconds: float, number: int) -> float:
    """Return the clips/s that four tasks get answered through the attacker's own client."""
    tasks, clips_each = BATCHES
    rng = np.random.default_rng(number)
    clips = rng.integers(-9000, 9000, (clips_each, SAMPLES)).astype(np.int16)
    run = derive(number, "bench", os.getpid(), time.time_ns())
    async with HttpOracle(url, key, connections=tasks) as oracle:
        await oracle.card()
        started, done = time.perf_counter(), 0

        async def client(name: int) -> None:
            nonlocal done
            count = 0
            while time.perf_counter() - started < seconds:
                await oracle.classify(clips, f"bench-{run}-{name}-{count}")
                count += 1
                done += clips_each

        await asyncio.gather(*(client(name) for name in range(tasks)))
        return done / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
