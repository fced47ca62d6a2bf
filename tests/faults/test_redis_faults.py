"""Redis cut off, slow and reset in mid-script, behind a real service: no answer goes uncounted."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import pytest

from tests.support.buyers import Buyers
from tests.support.ledger_facts import sold_by_name
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TcpProxy
from tests.support.torture import TORTURE
from tests.support.victims import make_victim, start_victim, stop_victim
from victim_service.keys import issue
from victim_service.ledger import open_ledger

ROUNDS = 20 if TORTURE else 2
LEASE_S = 0.5
REFUSED_WITHIN_S = 1.0
BACK_WITHIN_S = 5.0
_BUSY_MACHINE_S = 1.0


class Stand:
    """A service that reaches its Redis through a proxy, and buyers that never give up."""

    def __init__(self, proxy: TcpProxy, url: str, buyers: Buyers) -> None:
        self.proxy, self.url, self.buyers = proxy, url, buyers

    async def answered(self, more: int, within_s: float = 30.0) -> float:
        """Wait for ``more`` further answers; return the seconds it took."""
        begun, goal = time.monotonic(), len(self.buyers.answers) + more
        while len(self.buyers.answers) < goal:
            assert time.monotonic() - begun < within_s, "the service did not come back"
            await asyncio.sleep(0.01)
        return time.monotonic() - begun

    async def refused(self, for_s: float) -> None:
        """Let time pass in which nothing can be sold, and see that refusals come at once."""
        await asyncio.sleep(2 * REFUSED_WITHIN_S)  # what was on its way has ended
        before = len(self.buyers.answers)
        self.buyers.slowest_s = 0.0
        await asyncio.sleep(for_s)
        assert len(self.buyers.answers) == before, "an answer left that no ledger could count"
        assert 0 < self.buyers.slowest_s < REFUSED_WITHIN_S + _BUSY_MACHINE_S


async def cut(stand: Stand) -> None:
    await asyncio.to_thread(stand.proxy.cut)
    await stand.refused(1.0)
    await asyncio.to_thread(stand.proxy.restore)
    await stand.answered(1, BACK_WITHIN_S + _BUSY_MACHINE_S)


async def slow(stand: Stand) -> None:
    stand.proxy.delay_s = 5.0
    await stand.refused(1.0)
    stand.proxy.delay_s = 0.0
    await stand.answered(1, BACK_WITHIN_S + _BUSY_MACHINE_S)


async def reset_in_mid_script(stand: Stand) -> None:
    for _ in range(5):
        stand.proxy.resets += 3
        await stand.answered(3)


async def reset_connections(stand: Stand) -> None:
    for _ in range(3):
        await asyncio.to_thread(stand.proxy.drop_all)
        await stand.answered(3)


FAULTS: list[Callable[[Stand], Awaitable[None]]] = [
    cut,
    slow,
    reset_in_mid_script,
    reset_connections,
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_victim(tmp_path_factory.mktemp("victim"))


@pytest.fixture
def redis(tmp_path):
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


async def _add_key(ledger_url: str) -> str:
    key, record = issue("alice", "demo", "query", budget=10_000_000)
    ledger = open_ledger(ledger_url, 20.0)
    await ledger.add_key(record)
    await ledger.aclose()
    return key


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_every_answer_is_counted_once_and_the_service_comes_back(
    tmp_path, checkpoint, redis, fault
):
    with TcpProxy(urlsplit(redis.url).port or 0) as proxy:
        key = asyncio.run(_add_key(redis.url))
        near = redis.url.replace(str(urlsplit(redis.url).port), str(proxy.port))
        process, url, log = start_victim(
            checkpoint, tmp_path, near, lease_s=LEASE_S, secret_file=tmp_path / "secret"
        )

        async def work() -> Buyers:
            buyers = Buyers(url, key)
            buying = asyncio.create_task(buyers.run())
            stand = Stand(proxy, url, buyers)
            await stand.answered(10)
            for _ in range(ROUNDS):
                await fault(stand)
            buyers.stop()
            await asyncio.wait_for(buying, 60)
            return buyers

        try:
            buyers = asyncio.run(work())
            sold = asyncio.run(sold_by_name(redis.url))
        finally:
            stop_victim(process)
        assert buyers.unexpected == []
        assert {name: clips for name, (clips, _) in buyers.answers.items()} == {
            name: facts.charged for name, facts in sold.items()
        }
        assert {facts.commits for facts in sold.values()} == {1}
        assert "Traceback" not in log.read_text()
