"""Crashes and cuts: nobody pays twice, and no answer leaves unpaid."""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import threading
import time

import httpx
import pytest

from shared.audio import to_int16, to_npy
from tests.support.keys import add_key
from tests.support.victims import (
    make_clips,
    make_victim,
    running_victim,
    start_victim,
    stop_victim,
)

BATCH = 16
BODY = to_npy(to_int16(make_clips(BATCH)))


def headers(key: str, name: str) -> dict[str, str]:
    return {
        "authorization": f"Bearer {key}",
        "content-type": "application/x-npy",
        "accept": "application/x-npy",
        "idempotency-key": name,
    }


def ledger_facts(path) -> tuple[int, int, int]:
    """(clips by counter, clips by distinct committed keys, clips by entries)."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        counter = database.execute("SELECT spent FROM counters WHERE subject = 'global'")
        queries = database.execute("SELECT SUM(clips) FROM queries WHERE state = 1")
        entries = database.execute("SELECT SUM(delta) FROM entries")
        return counter.fetchone()[0], queries.fetchone()[0], entries.fetchone()[0]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_victim(tmp_path_factory.mktemp("victim"))


def test_a_server_that_is_killed_again_and_again_charges_every_key_once(tmp_path, checkpoint):
    ledger = tmp_path / "ledger.sqlite"
    url = f"sqlite:///{ledger}"
    key = add_key(ledger, "alice", plan="demo")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    names = [f"kill-test-{number:04d}" for number in range(120)]
    answers: dict[str, bytes] = {}
    server = [start_victim(checkpoint, tmp_path, url, port=port, lease_s=0.5)[0]]
    kills = 4

    async def buyer(client: httpx.AsyncClient, mine: list[str]) -> None:
        for name in mine:
            while name not in answers:
                try:
                    sent = headers(key, name)
                    response = await client.post("/v1/classify", content=BODY, headers=sent)
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                    continue
                if response.status_code == 200:
                    answers[name] = response.content
                else:
                    assert response.status_code in (409, 429, 503), response.text
                    await asyncio.sleep(0.1)

    async def campaign() -> None:
        address = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=address, timeout=20) as client:
            buyers = (buyer(client, names[start::4]) for start in range(4))
            killing = asyncio.to_thread(kill)
            await asyncio.gather(killing, *buyers)

    def kill() -> None:
        for done in range(1, kills + 1):
            goal = len(names) * done // (kills + 1)
            while len(answers) < goal:
                time.sleep(0.002)
            os.kill(server[0].pid, signal.SIGKILL)
            server[0].join()
            server[0] = start_victim(checkpoint, tmp_path, url, port=port, lease_s=0.5)[0]

    try:
        asyncio.run(asyncio.wait_for(campaign(), 150))
    finally:
        stop_victim(server[0])
    assert len(answers) == len(names)
    assert len(set(answers.values())) == 1, "the same clips were answered differently"
    assert ledger_facts(ledger) == (len(names) * BATCH,) * 3


def test_a_client_that_leaves_and_comes_back_pays_once(tmp_path, checkpoint):
    with running_victim(checkpoint, tmp_path, plan="demo", lease_s=5) as victim:
        host, port = victim.url.removeprefix("http://").split(":")
        body = to_npy(to_int16(make_clips(256)))
        for number in range(5):
            name = f"leaver-{number:04d}"
            lines = [f"{field}: {value}" for field, value in headers(victim.key, name).items()]
            head = ["POST /v1/classify HTTP/1.1", "host: victim", *lines]
            head += [f"content-length: {len(body)}", "", ""]
            with socket.create_connection((host, int(port))) as sock:
                sock.sendall("\r\n".join(head).encode() + body)
                time.sleep(0.03 * number)
            deadline = time.monotonic() + 20
            while True:
                sent = headers(victim.key, name)
                response = httpx.post(f"{victim.url}/v1/classify", content=body, headers=sent)
                if response.status_code == 200:
                    break
                assert response.status_code == 409, response.text
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert ledger_facts(victim.ledger_path) == (5 * 256,) * 3


def test_a_ledger_that_hangs_is_refused_within_a_second_and_used_again_later(tmp_path, checkpoint):
    # Nor does a log that cannot be written stop the ledger for good: both may be on a full disk.
    with (
        running_victim(checkpoint, tmp_path, plan="demo", errors_to="/dev/full") as victim,
        httpx.Client(base_url=victim.url, timeout=10) as client,
    ):
        assert client.post("/v1/classify", content=BODY, headers=headers(victim.key, "before-cut"))
        with contextlib.closing(sqlite3.connect(victim.ledger_path)) as thief:
            thief.isolation_level = None
            thief.execute("BEGIN EXCLUSIVE")
            begun = time.monotonic()
            refused = client.get("/readyz")
            assert refused.json()["code"] == "ledger-unreachable"
            assert time.monotonic() - begun < 1.5  # 0.9 s, and room for a busy machine
            response = client.post(
                "/v1/classify", content=BODY, headers=headers(victim.key, "during-cut")
            )
            assert (response.status_code, response.json()["code"]) == (503, "ledger-unreachable")
            assert response.headers["retry-after"] == "1"
            thief.execute("ROLLBACK")
        deadline = time.monotonic() + 5
        while True:
            sent = headers(victim.key, "during-cut")
            response = client.post("/v1/classify", content=BODY, headers=sent)
            if response.status_code == 200:
                break
            assert response.status_code in (409, 503)
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert ledger_facts(victim.ledger_path) == (2 * BATCH,) * 3


def test_a_ledger_that_was_taken_away_sells_nothing(tmp_path, checkpoint):
    with running_victim(checkpoint, tmp_path, plan="demo") as victim:
        victim.ledger_path.rename(tmp_path / "elsewhere.sqlite")
        for name in ("first-try", "second-try"):
            sent = headers(victim.key, name)
            response = httpx.post(f"{victim.url}/v1/classify", content=BODY, headers=sent)
            assert response.json()["code"] == "ledger-unreachable"
        assert not victim.ledger_path.exists(), "an empty ledger would sell every budget again"


def test_a_query_that_outlasts_the_drain_is_told_so(tmp_path, checkpoint):
    late = "before-commit=sleep:30"
    with running_victim(checkpoint, tmp_path, plan="demo", failpoints=late, drain_s=1) as victim:
        answers: list[httpx.Response] = []

        def ask(number: int) -> None:
            sent = headers(victim.key, f"late-{number:04d}")
            address = f"{victim.url}/v1/classify"
            answers.append(httpx.post(address, content=BODY, headers=sent, timeout=20))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        refused_from = time.monotonic()
        victim.process.terminate()
        time.sleep(0.3)
        with contextlib.suppress(httpx.TransportError):
            sent = headers(victim.key, "too-late")
            response = httpx.post(f"{victim.url}/v1/classify", content=BODY, headers=sent)
            assert response.json()["code"] == "draining"
        for thread in threads:
            thread.join()
        assert time.monotonic() - refused_from < 10
        assert [answer.json()["code"] for answer in answers] == ["draining"] * 4
        assert all(answer.headers["retry-after"] == "1" for answer in answers)
        victim.process.join(timeout=30)
        assert victim.process.exitcode == 0
        assert "Traceback" not in victim.log.read_text()


def test_a_service_that_is_told_to_stop_takes_nothing_new_from_that_moment(tmp_path, checkpoint):
    slow = "before-model=sleep:2"
    with running_victim(checkpoint, tmp_path, plan="demo", failpoints=slow) as victim:
        # A connection that is there already: after SIGTERM no new one is taken.
        with httpx.Client(base_url=victim.url, timeout=20) as client:
            assert client.get("/readyz").status_code == 200
            answers: list[httpx.Response] = []

            def ask() -> None:
                sent = headers(victim.key, "in-flight")
                answers.append(httpx.post(f"{victim.url}/v1/classify", content=BODY, headers=sent))

            first = threading.Thread(target=ask)
            first.start()
            time.sleep(0.5)
            os.kill(victim.process.pid, signal.SIGTERM)
            with contextlib.suppress(httpx.TransportError):  # an idle connection may be closed
                second = client.post(
                    "/v1/classify", content=BODY, headers=headers(victim.key, "after-term")
                )
                assert second.json()["code"] == "draining"
            first.join()
        assert answers[0].status_code == 200
        victim.process.join(timeout=30)
        assert ledger_facts(victim.ledger_path) == (BATCH,) * 3


def test_a_terminated_server_answers_what_it_took_and_exits_with_0(tmp_path, checkpoint):
    with running_victim(checkpoint, tmp_path, plan="demo") as victim:
        statuses: list[int] = []

        def ask(number: int) -> None:
            sent = headers(victim.key, f"drain-{number:04d}")
            with contextlib.suppress(httpx.TransportError):  # came after the doors were closed
                response = httpx.post(f"{victim.url}/v1/classify", content=BODY, headers=sent)
                statuses.append(response.status_code)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        while not statuses:
            time.sleep(0.002)
        victim.process.terminate()
        for thread in threads:
            thread.join()
        victim.process.join(timeout=30)
        assert victim.process.exitcode == 0
        assert set(statuses) <= {200, 503}
        sold = statuses.count(200) * BATCH
        assert ledger_facts(victim.ledger_path) == (sold,) * 3
