"""A budget of B grants exactly B clips to 32 concurrent clients of a real server."""

import asyncio
import sqlite3
import subprocess
import sys

import httpx
import pytest

from shared.audio import to_int16, to_npy
from tests.support.keys import add_key
from tests.support.victims import (
    ROOT,
    RunningVictim,
    environment,
    make_clips,
    make_victim,
    running_victim,
)

CLIENTS = 32
BUDGET = 200


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exact")
    with running_victim(make_victim(folder / "victim"), folder / "run", plan="demo") as running:
        yield running


async def storm(victim: RunningVictim, key: str, batch: int, tries: int) -> list[int]:
    """Let all clients buy at once; return the status of every request."""
    body = to_npy(to_int16(make_clips(batch)))
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=victim.url, limits=limits, timeout=60) as client:

        async def buyer(number: int) -> list[int]:
            statuses = []
            for attempt in range(tries):
                headers = {
                    "authorization": f"Bearer {key}",
                    "content-type": "application/x-npy",
                    "accept": "application/x-npy",
                    "idempotency-key": f"buyer-{number:03d}-{attempt:03d}",
                }
                response = await client.post("/v1/classify", content=body, headers=headers)
                statuses.append(response.status_code)
            return statuses

        results = await asyncio.gather(*(buyer(number) for number in range(CLIENTS)))
        return [status for statuses in results for status in statuses]


@pytest.mark.parametrize("batch", [1, 7])
def test_exactly_the_budget_is_granted(victim, batch):
    account = f"storm-{batch}"
    key = add_key(victim.ledger_path, account, plan="demo", budget=BUDGET)
    tries = 2 * BUDGET // batch // CLIENTS + 1
    statuses = asyncio.run(storm(victim, key, batch, tries))
    assert set(statuses) == {200, 402}
    assert statuses.count(200) * batch == BUDGET // batch * batch
    headers = {"authorization": f"Bearer {key}"}
    status = httpx.get(f"{victim.url}/v1/account", headers=headers).json()
    assert status["spent"] == BUDGET // batch * batch
    assert status["remaining"] == BUDGET % batch
    with sqlite3.connect(victim.ledger_path) as database:
        question = "SELECT COUNT(*), SUM(clips), SUM(state = 1) FROM queries WHERE account = ?"
        records, clips, committed = database.execute(question, (account,)).fetchone()
    assert records == committed == statuses.count(200)
    assert clips == status["spent"]


def test_the_ledger_adds_up_while_it_is_in_use(victim):
    command = ["ledger", "verify", "--ledger", victim.ledger_url]
    done = subprocess.run(
        [sys.executable, "-m", "victim_service", *command],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "adds up" in done.stdout


def test_the_log_is_json_without_secrets(victim):
    import json

    key = victim.key
    httpx.get(f"{victim.url}/v1/account", headers={"authorization": f"Bearer {key}"})
    httpx.get(f"{victim.url}/v1/model", headers={"authorization": f"Bearer {key}x"})
    text = victim.log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert {"request"} <= {line["event"] for line in lines}
    assert all(len(line["request_id"]) >= 1 for line in lines if line["event"] == "request")
    for one in victim.keys.values():
        assert one.split("_")[2] not in text
        assert one.split("_")[2].encode() not in victim.ledger_path.read_bytes()
