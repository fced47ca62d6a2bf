"""Reserve and commit in closed loop: ``python -m benchmarks.support.ledger_load URL TASKS``."""

import asyncio
import itertools
import secrets
import statistics
import sys
import time

from benchmarks.support.raw_client import new_loop
from benchmarks.support.worker import answer
from victim_service.ledger import Ledger, open_ledger
from victim_service.ledger.base import (
    GLOBAL_SUBJECT,
    Budget,
    Query,
    Rate,
    account_subject,
    key_subject,
)

_LEASE_S = 30.0
_PATIENCE_S = 10.0
_PLENTY = 10**12


class Buyers:
    """``tasks`` tasks that buy one clip after the other, all under one key."""

    def __init__(self, ledger: Ledger, tasks: int) -> None:
        self._ledger, self._tasks = ledger, tasks
        self._run = secrets.token_hex(4)
        self._numbers = itertools.count()
        key = key_subject("bench")
        self._policies = (
            Budget(key, _PLENTY),
            Budget(account_subject("bench"), _PLENTY),
            Budget(GLOBAL_SUBJECT, _PLENTY),
            Rate(key, per_s=1e6, burst=10**6),
        )

    async def measure(self, seconds: float) -> dict[str, float]:
        """Return pairs a second and the median time of a pair."""
        begun = time.perf_counter()
        times: list[float] = []

        async def buyer() -> None:
            while (at := time.perf_counter()) - begun < seconds:
                await self._buy()
                times.append(time.perf_counter() - at)

        await asyncio.gather(*(buyer() for _ in range(self._tasks)))
        per_s = len(times) / (time.perf_counter() - begun)
        return {"per_s": per_s, "median_s": statistics.median(times)}

    async def _buy(self) -> None:
        number = next(self._numbers)
        query = Query(
            "bench", "bench", "bench", f"client:{self._run}-{number}", number.to_bytes(32, "big"),
            1, self._policies, model="0" * 64,
        )  # fmt: skip
        grant = await self._ledger.reserve(query, _LEASE_S)
        if grant.charged != 1:
            raise RuntimeError(f"a new query was charged {grant.charged}")
        await self._ledger.commit(query, grant)


def main() -> None:
    """Answer every line of standard input with one measurement."""
    url, tasks = sys.argv[1], int(sys.argv[2])
    loop = new_loop()
    buyers = Buyers(open_ledger(url, _PATIENCE_S), tasks)
    answer(lambda seconds: loop.run_until_complete(buyers.measure(seconds)))


if __name__ == "__main__":
    main()
