"""SIGKILL at every named place of a query's life, and of Redis: nobody pays twice or for nothing.

The short form visits each failpoint once; EARSHOT_TORTURE=1 kills the server 200 times and Redis
100 times.
"""

import asyncio
import itertools
import os
import random
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.support.buyers import Buyers
from tests.support.ledger_facts import sold_by_name
from tests.support.redis_server import RedisServer
from tests.support.victims import make_victim, start_victim, stop_victim
from victim_service.failpoints import POINTS
from victim_service.keys import issue
from victim_service.ledger import open_ledger

TORTURE = os.environ.get("EARSHOT_TORTURE") == "1"
SERVER_KILLS = 200 if TORTURE else len(POINTS)
REDIS_KILLS = 100 if TORTURE else 3
LEASE_S = 0.5


@dataclass
class Shop:
    """A service that is started again and again on one ledger and one port."""

    checkpoint: Path
    folder: Path
    ledger: str
    port: int
    process: BaseProcess | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, failpoints: str = "") -> None:
        self.process = start_victim(
            self.checkpoint,
            self.folder,
            self.ledger,
            port=self.port,
            lease_s=LEASE_S,
            failpoints=failpoints,
            secret_file=self.folder / "secret",
        )[0]

    def stop(self) -> None:
        if self.process is not None:
            stop_victim(self.process)

    async def add_key(self) -> str:
        key, record = issue("alice", "demo", "query", budget=10_000_000)
        ledger = open_ledger(self.ledger, 20.0)
        await ledger.add_key(record)
        await ledger.aclose()
        return key


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_victim(tmp_path_factory.mktemp("victim"))


@pytest.fixture
def shop(tmp_path, checkpoint):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    shop = Shop(checkpoint, tmp_path, f"sqlite:///{tmp_path / 'ledger.sqlite'}", port)
    yield shop
    shop.stop()


@pytest.fixture
def redis(tmp_path):
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


async def _sell_while(shop: Shop, torment: Callable[[Buyers], Awaitable[None]]) -> Buyers:
    buyers = Buyers(shop.url, await shop.add_key())
    buying = asyncio.create_task(buyers.run())
    try:
        await torment(buyers)
    finally:
        buyers.stop()
    await asyncio.wait_for(buying, 60)
    return buyers


async def _check(shop: Shop, buyers: Buyers) -> None:
    """Every answer was paid once, nothing else was, and a replay gives the first answer free."""
    assert buyers.unexpected == []
    sample = random.Random(0).sample(sorted(buyers.answers), min(50, len(buyers.answers)))
    again = await buyers.replay(sample)
    assert again == {name: buyers.answers[name][1] for name in sample}
    sold = await sold_by_name(shop.ledger)
    assert {name: clips for name, (clips, _) in buyers.answers.items()} == {
        name: facts.charged for name, facts in sold.items()
    }
    assert {facts.commits for facts in sold.values()} == {1}


async def _answered(buyers: Buyers, more: int) -> None:
    goal = len(buyers.answers) + more
    while len(buyers.answers) < goal:
        await asyncio.sleep(0.005)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("backend", ["sqlite", "redis"])
def test_a_server_killed_at_every_failpoint_sells_every_answer_once(shop, redis, backend):
    if backend == "redis":
        shop.ledger = redis.url
    visits = random.Random(7)
    points = itertools.islice(itertools.cycle(POINTS), SERVER_KILLS)

    async def torment(buyers: Buyers) -> None:
        for point in points:
            await asyncio.to_thread(shop.start, f"{point}=kill@{visits.randint(1, 25)}")
            while shop.process is not None and shop.process.is_alive():
                await asyncio.sleep(0.01)
        await asyncio.to_thread(shop.start)
        await _answered(buyers, 20)

    async def work() -> None:
        buyers = await _sell_while(shop, torment)
        await _check(shop, buyers)

    asyncio.run(asyncio.wait_for(work(), 1700))


@pytest.mark.timeout(1800)
def test_a_redis_that_is_killed_again_and_again_loses_nothing(shop, redis):
    shop.ledger = redis.url
    shop.start()

    async def torment(buyers: Buyers) -> None:
        for _ in range(REDIS_KILLS):
            await _answered(buyers, 20)
            await asyncio.to_thread(redis.kill)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(redis.start)
        await _answered(buyers, 20)

    async def work() -> None:
        buyers = await _sell_while(shop, torment)
        await _check(shop, buyers)

    asyncio.run(asyncio.wait_for(work(), 1700))
