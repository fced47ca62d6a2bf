"""What only the Redis ledger has to do: scripts, connections that fail, data that is lost."""

import asyncio
import contextlib
import itertools
import time

import pytest
import redis
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.redis_server import RedisServer, find_redis_server, wheel_redis_server
from tests.support.tcp_proxy import TcpProxy
from tests.unit.victim_service.ledger.asking import LEASE_S, paced, policies, query
from victim_service.errors import Refusal, StartError
from victim_service.ledger import gcra, open_ledger, redis_start
from victim_service.ledger import redis_scripts as scripts
from victim_service.ledger.records import PlanRecord
from victim_service.ledger.redis import RedisLedger, _reserve_words

HASTE_S = 0.6
"""Time limit of a ledger that is expected to fail."""
RATES = f"{scripts.PREFIX}rates"


@pytest.fixture
def own(tmp_path):
    """Return a Redis of this test's own, to kill and to fill."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def proxy(redis_server):
    with TcpProxy(redis_server.port) as between:
        yield between


@pytest.fixture
def opened(run):
    """Return what opens ledgers; they are closed at the end."""
    ledgers: list[RedisLedger] = []

    def one(url: str, timeout_s: float = 20.0) -> RedisLedger:
        ledgers.append(RedisLedger(url, timeout_s))
        return ledgers[-1]

    yield one
    for ledger in ledgers:
        run(ledger.aclose())


@pytest.fixture
def near(opened, redis_url):
    return opened(redis_url)


@pytest.fixture
def far(opened, run, proxy, redis_url, redis_server):
    """Return the same ledger as ``near``, behind the proxy, with its connections made."""
    ledger = opened(redis_url.replace(f":{redis_server.port}/", f":{proxy.port}/"), HASTE_S)
    for _ in range(2):  # they take turns
        run(ledger.ping())
    return ledger


def everything(url: str) -> list[tuple[bytes, bytes | None]]:
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        return [(name, client.dump(name)) for name in sorted(client.keys())]


async def kinds(ledger: RedisLedger) -> list[str]:
    return [entry.kind for entry in await ledger.entries()]


async def until_undone(ledger: RedisLedger) -> None:
    """Return when a reservation was made and taken back."""
    deadline = time.monotonic() + 5.0
    while await kinds(ledger) != ["reserve", "release"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert (await ledger.standing(policies())).spent == 0


async def refused(ledger: RedisLedger, name: str = "q") -> float:
    """Return how long it took to be told that the ledger is unreachable."""
    begun = time.monotonic()
    with pytest.raises(Refusal) as caught:
        await ledger.reserve(query(name, 7), LEASE_S)
    assert (caught.value.code, caught.value.retry_after_s) == ("ledger-unreachable", 1.0)
    return time.monotonic() - begun


async def buy(ledger: RedisLedger, name: str = "q", clips: int = 7, lease_s: float = LEASE_S):
    asked = query(name, clips, policies(key=None))
    grant = await ledger.reserve(asked, lease_s)
    if not grant.replayed:
        await ledger.commit(asked, grant)
    return grant


def test_the_script_paces_operation_by_operation_as_gcra_does(near, run, redis_url):
    names = itertools.count()

    @settings(max_examples=200, deadline=None)
    @given(
        st.floats(0.1, 5000),
        st.integers(1, 500),
        st.integers(1, 510),
        st.one_of(st.none(), st.floats(-5, 500)),
        st.floats(-0.002, 0.002),
    )
    def check(per_s, burst, clips, ahead_s, close_s):
        if ahead_s is None:  # where it just fits, or just does not
            ahead_s = (burst - clips) / per_s + close_s
        arrival = run(near.now()) + ahead_s
        client.hset(RATES, "key:k", repr(arrival))
        asked = query(f"q{next(names)}", clips, paced(per_s, burst, key=None))
        words = _reserve_words(asked, "token", LEASE_S)
        outcome, now, *_, arrivals = run(near._run(scripts.RESERVE, *words))
        expected = gcra.decide(arrival, float(now), clips, per_s, burst)
        fits = clips <= burst and expected.allowed
        assert outcome == (b"granted" if fits else b"refused")
        after = expected.arrival_s if fits else arrival
        assert [float(value) for value in arrivals] == [after]
        assert float(client.hget(RATES, "key:k")) == after

    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        check()


def test_a_reservation_that_is_sent_twice_is_granted_once(near, run):
    words = _reserve_words(query(clips=7, rules=paced(0.01, 10)), "token", LEASE_S)
    first, second = (run(near._run(scripts.RESERVE, *words)) for _ in range(2))
    assert first[0] == second[0] == b"granted"
    assert first[2:] == second[2:]
    assert run(kinds(near)) == ["reserve"]
    other = _reserve_words(query(clips=7, rules=paced(0.01, 10)), "other", LEASE_S)
    assert run(near._run(scripts.RESERVE, *other))[0] == b"still-running"


def test_a_reservation_that_arrives_after_it_was_undone_takes_no_effect(near, run):
    async def work() -> None:
        await near._end("a", "q", "token", "undo")
        words = _reserve_words(query(clips=7), "token", LEASE_S)
        assert await near._run(scripts.RESERVE, *words) == [b"void"]
        assert await kinds(near) == []
        assert (await buy(near)).charged == 7

    run(work())


def test_an_undone_purchase_of_a_lapsed_query_is_given_back(near, run):
    async def work() -> None:
        first = await near.reserve(query(clips=7), 0.0)
        second = await near.reserve(query(clips=7), LEASE_S)
        await near._end("a", "q", second.token, "undo")
        with pytest.raises(Refusal, match="deadline-passed"):
            await near.commit(query(clips=7), first)
        assert await kinds(near) == ["reserve", "reap", "reserve", "release"]
        assert (await near.standing(policies())).spent == 0
        assert await near.verify() == []

    run(work())


def test_scripts_that_redis_forgot_are_sent_again(near, run, redis_server):
    client = redis_server.client()

    async def work() -> None:
        for number in range(5):
            client.script_flush()
            await buy(near, f"one-{number}", 1)
        storm = asyncio.gather(*(buy(near, f"many-{number}", 1) for number in range(300)))
        while not storm.done():
            client.script_flush()
            await asyncio.sleep(0.005)
        await storm
        assert (await near.standing(policies())).spent == 305
        assert await near.verify() == []

    run(work())
    client.close()


def test_a_redis_that_is_restarted_and_killed_keeps_every_sale(own, opened, run):
    ledger = opened(own.url, HASTE_S)
    names = [f"q{number}" for number in range(400)]
    bought: list[str] = []

    async def buyer(mine: list[str]) -> None:
        for name in mine:
            while name not in bought:
                try:
                    await buy(ledger, name, 7, lease_s=0.2)
                except Refusal as refusal:
                    if refusal.code not in {"ledger-unreachable", "still-running"}:
                        raise
                    await asyncio.sleep(0.02)
                else:
                    bought.append(name)

    async def torment() -> None:
        for number, end in enumerate((own.restart, own.kill, own.kill), start=1):
            while len(bought) < 100 * number:
                await asyncio.sleep(0.001)
            await asyncio.to_thread(end)
            if end == own.kill:
                await asyncio.sleep(0.1)
                await asyncio.to_thread(own.start)

    async def work() -> None:
        await asyncio.gather(torment(), *(buyer(names[start::8]) for start in range(8)))
        assert (await ledger.standing(policies())).spent == 7 * len(names)
        assert await ledger.verify() == []
        commits = [e.idempotency for e in await ledger.entries(limit=9999) if e.kind == "commit"]
        assert sorted(commits) == sorted(names)

    run(work())


@pytest.mark.parametrize("damage", ["emptied", "another ledger"])
def test_a_redis_that_lost_its_data_sells_nothing(own, opened, run, damage):
    ledger = opened(own.url, HASTE_S)
    client = own.client()

    async def work() -> None:
        grant = await ledger.reserve(query("before", 7), LEASE_S)
        if damage == "emptied":
            client.flushall()
        else:
            client.set(scripts.BORN, "other")
        before = everything(own.url)
        for name in ("before", "after"):
            await refused(ledger, name)
        for call in (
            ledger.commit(query("before", 7), grant),
            ledger.standing(policies()),
            ledger.key("k"),
            ledger.ping(),
        ):
            with pytest.raises(Refusal, match="ledger-unreachable"):
                await call
        assert everything(own.url) == before

    with structlog.testing.capture_logs() as logs:
        run(work())
    client.close()
    assert [(line["event"], line["lost"]) for line in logs] == [("ledger failed", True)]


def test_a_redis_that_hangs_is_refused_in_time_and_nobody_pays_for_it(own, opened, run):
    ledger = opened(own.url, HASTE_S)

    async def work() -> None:
        await ledger.ping()
        own.pause()
        try:
            assert HASTE_S - 0.1 < await refused(ledger) < HASTE_S + 0.3
        finally:
            own.resume()
        await until_undone(ledger)
        assert (await buy(ledger)).charged == 7

    run(work())


def test_a_reservation_whose_caller_went_away_is_taken_back(own, opened, run):
    ledger = opened(own.url)

    async def work() -> None:
        await ledger.ping()
        own.pause()
        try:
            waiting = asyncio.create_task(ledger.reserve(query(clips=7), LEASE_S))
            await asyncio.sleep(0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        finally:
            own.resume()
        await until_undone(ledger)

    run(work())


def test_who_gave_up_while_the_connection_was_made_never_pays(own, opened, run):
    """On any database but the first, connecting waits for Redis before a call is sent."""
    address = own.url.removesuffix("/0") + "/1"
    patient, hasty = opened(address), opened(address, 0.3)

    async def work() -> None:
        await patient.ping()
        own.pause()
        told = [asyncio.create_task(hasty.reserve(query(f"q{n}"), LEASE_S)) for n in range(40)]
        try:
            for task in told:
                with pytest.raises(Refusal, match="ledger-unreachable"):
                    await task
        finally:
            own.resume()
        await asyncio.sleep(1.0)
        assert (await buy(hasty, "last")).charged == 7
        held = [entry.kind for entry in await patient.entries()]
        assert held.count("reserve") - held.count("release") == 1, held
        assert (await patient.standing(policies())).spent == 7

    run(work())


def test_an_answer_that_is_lost_once_is_asked_for_again(near, far, run, proxy):
    async def work() -> None:
        proxy.resets = 1
        grant = await far.reserve(query(clips=7), LEASE_S)
        assert (grant.charged, grant.standing.spent) == (7, 7)
        proxy.resets = 1
        await far.commit(query(clips=7), grant)
        proxy.resets = 1
        assert (await far.standing(policies())).spent == 7
        assert await kinds(near) == ["reserve", "commit"]

    run(work())


def test_an_answer_that_is_lost_twice_is_a_refusal_that_costs_nothing(near, far, run, proxy):
    async def work() -> None:
        proxy.resets = 2
        await refused(far)
        assert (await near.standing(policies())).spent == 7
        await until_undone(near)
        assert (await buy(far)).charged == 7

    run(work())


def test_what_cannot_be_repeated_is_sent_only_once(near, far, run, proxy):
    async def work() -> None:
        proxy.resets = 1
        with pytest.raises(Refusal, match="ledger-unreachable"):
            await far.note_audit(query("audit", 5, ()))
        proxy.resets = 1
        with pytest.raises(Refusal, match="ledger-unreachable"):
            await far.add_plan(PlanRecord("soft", 1, "{}", "file", 0.0))
        assert await kinds(near) == ["audit"]
        assert len(await near.plan_history("soft")) == 1

    run(work())


def test_a_redis_that_is_cut_off_is_refused_at_once_and_used_again(far, run, proxy):
    async def work() -> None:
        proxy.cut()
        assert await refused(far) < 0.3
        proxy.restore()
        assert (await buy(far)).charged == 7
        proxy.drop_all()
        await asyncio.sleep(0.05)
        await far.note_audit(query("audit", 5, ()))  # an idle connection that broke is replaced
        proxy.delay_s = 5.0
        assert await refused(far, "slow") < HASTE_S + 0.3
        proxy.delay_s = 0.0
        assert (await buy(far, "later")).charged == 7

    run(work())


def test_one_call_that_fails_leaves_its_neighbours_alone(near, run):
    async def work() -> list[object]:
        good = [buy(near, f"q{number}") for number in range(20)]
        bad = near._calls(("INCRBY", scripts.BORN, "x"))
        return await asyncio.gather(bad, *good, return_exceptions=True)

    bad, *good = run(work())
    assert isinstance(bad, Refusal)
    assert not any(isinstance(outcome, BaseException) for outcome in good)


def test_a_redis_without_memory_refuses_and_writes_nothing(own, opened, run):
    ledger, client = opened(own.url), own.client()
    run(buy(ledger))
    run(ledger.reserve(query("running"), 0.0))
    before = everything(own.url)
    client.config_set("maxmemory", 1)
    run(refused(ledger, "new"))
    with pytest.raises(Refusal, match="ledger-unreachable"):
        run(ledger.reap(0.0))
    assert everything(own.url) == before
    client.config_set("maxmemory", 0)
    assert run(buy(ledger, "new")).charged == 7
    client.close()


def test_a_ledger_serves_one_event_loop_after_another(redis_url):
    ledger = RedisLedger(redis_url)
    assert asyncio.run(buy(ledger)).charged == 7
    assert asyncio.run(buy(ledger)).replayed
    asyncio.run(ledger.aclose())
    with pytest.raises(Refusal, match="ledger-unreachable"):
        asyncio.run(ledger.ping())


@pytest.mark.parametrize("program", [find_redis_server, wheel_redis_server])
def test_every_redis_that_is_promised_does(tmp_path, opened, run, program):
    server = RedisServer(tmp_path / "redis", program=program())
    server.start()

    async def work(ledger: RedisLedger) -> None:
        await buy(ledger, "sold")
        assert (await buy(ledger, "sold")).replayed
        abandoned = await ledger.reserve(query("abandoned", 7), LEASE_S)
        await ledger.abandon(query("abandoned", 7), abandoned)
        assert (await ledger.reserve(query("abandoned", 7), 0.0)).charged == 7
        assert await ledger.reap(0.0) == 1
        grant = await ledger.reserve(query("released", 3, paced(0.01, 3)), LEASE_S)
        await ledger.release(query("released", 3), grant)
        with pytest.raises(Refusal, match="rate-limited"):
            await ledger.reserve(query("paced", 1, paced(0.01, 3)), LEASE_S)
        await ledger.note_audit(query("audit", 2, ()))
        assert await ledger.add_plan(PlanRecord("soft", 1, "{}", "file", 0.0))
        assert (await ledger.standing(policies())).spent == 7
        assert len(await ledger.entries(after=(await ledger.entries())[0].id)) == 9
        assert await ledger.verify() == []

    run(work(opened(server.url)))
    server.stop()


def test_a_redis_that_is_not_there_or_holds_no_ledger_is_named_without_its_password(
    redis_url, monkeypatch
):
    monkeypatch.setattr(redis_start, "_SOCKET_S", 0.3)
    with pytest.raises(StartError, match="holds no ledger"):
        open_ledger(redis_url, create=False)
    with TcpProxy(1) as nothing, pytest.raises(StartError, match="Start Redis") as caught:
        open_ledger(f"redis://user:sesame@127.0.0.1:{nothing.port}/0")
    assert "sesame" not in str(caught.value)
    with pytest.raises(StartError, match="Mend the address"):
        open_ledger("redis://user:sesame@127.0.0.1:port/0")
    with pytest.raises(StartError, match="Start Redis"):
        open_ledger(redis_url.replace("redis:", "rediss:"))
    with pytest.raises(StartError, match=r"Use 6\.2"):
        redis_start._check_version(redis_url, {"redis_version": "5.0.14"})


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ((), []),
        (("--appendonly", "no"), ["appendonly"]),
        (("--appendfsync", "everysec"), ["appendfsync"]),
        (("--maxmemory-policy", "allkeys-lru"), []),
        (("--maxmemory-policy", "allkeys-lru", "--maxmemory", "1gb"), ["maxmemory-policy"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.parametrize("program", [find_redis_server, wheel_redis_server])
def test_settings_under_which_redis_may_forget_are_told(tmp_path, program, options, warned):
    server = RedisServer(tmp_path, *options, program=program())
    server.start()
    with structlog.testing.capture_logs() as logs:
        RedisLedger(server.url)
    server.stop()
    assert [line["setting"] for line in logs] == warned
