"""The ledger: pairs of reserve and commit by 64 tasks of one process, each query under a new key.

Each pair checks three budgets and a rate, charges all or none, and leaves an idempotency record.
Limits: 1,500 pairs/s on SQLite (WAL, synchronous FULL), 1,000 on Redis (appendfsync always).

The peers check one rate on the same Redis, in turn with the ledger: ``limits`` (sliding window
counter) and ``throttled-py`` (GCRA). They do far less: one call in place of two, one counter, no
record of the query, no all-or-nothing, and a repeated query pays again. In memory they lose
everything with the process.
"""

import contextlib
import sys

from benchmarks.peers import environment
from benchmarks.support import report
from benchmarks.support.processes import scratch, stop_on_sigterm
from benchmarks.support.report import Figure, Report
from benchmarks.support.worker import Ask, worker
from tests.support.redis_server import RedisServer

TASKS = 64
SQLITE, REDIS = "Earshot, SQLite", "Earshot, Redis"
LIMITS = {SQLITE: 1500, REDIS: 1000}
PEERS = {
    "limits, Redis": ("limits", "redis"),
    "throttled-py, Redis": ("throttled", "redis"),
    "limits, memory": ("limits", "memory"),
    "throttled-py, memory": ("throttled", "memory"),
}


def main() -> int:
    """Print the figures; return 1 where a limit is missed."""
    options = report.arguments(__doc__, seconds=3.0).parse_args()
    stop_on_sigterm()
    result = Report("ledger")
    why = ""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(scratch())
        redis = RedisServer(folder / "redis")
        redis.start()
        stack.callback(redis.stop)
        asks = {
            SQLITE: load(stack, f"sqlite:///{folder / 'ledger.sqlite'}"),
            REDIS: load(stack, redis.fresh_url()),
        }
        try:
            python = environment.prepare()
        except environment.NoPeersError as error:
            why = str(error)
        else:
            for name, (peer, kept) in PEERS.items():
                url = redis.fresh_url() if kept == "redis" else kept
                words = (peer, url, str(TASKS))
                module = "benchmarks.peers.limiter_load"
                asks[name] = stack.enter_context(worker(module, *words, python=python))
        for ask in asks.values():
            ask(0.3)
        for _ in range(options.rounds):
            row = {name: ask(options.seconds)["per_s"] for name, ask in asks.items()}
            result.rounds.append(row)
            print(", ".join(f"{name} {rate:,.0f}/s" for name, rate in row.items()), flush=True)
    result.figures = figures(result.rounds, why)
    return result.finish(no_limit=options.no_limit)


def load(stack: contextlib.ExitStack, url: str) -> Ask:
    """Start a process that buys from the ledger at ``url``."""
    return stack.enter_context(worker("benchmarks.support.ledger_load", url, str(TASKS)))


def figures(rounds: list[dict[str, float]], why: str) -> list[Figure]:
    """Return the rates and ratios of all rounds; ``why`` there are no peers, if there are none."""
    found = [
        Figure(f"{name}, {TASKS} tasks", [row[name] for row in rounds], limit, unit="pairs/s")
        for name, limit in LIMITS.items()
    ]
    for peer, (_, kept) in PEERS.items():
        ours = REDIS if kept == "redis" else SQLITE
        ratios = [row[ours] / row[peer] for row in rounds if peer in row]
        note = why or "the peer makes one check, and keeps no record"
        found.append(Figure(f"pairs of {ours} / checks of {peer}", ratios, note=note))
    return found


if __name__ == "__main__":
    sys.exit(main())
