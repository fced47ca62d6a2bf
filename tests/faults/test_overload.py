"""More queries than the queue holds: refused at the door, uncharged, and served when they obey."""

import asyncio
import time

import httpx
import pytest

from shared.audio import to_int16, to_npy
from tests.support.ledger_facts import sold_by_name
from tests.support.torture import TORTURE
from tests.support.victims import RunningVictim, make_clips, make_victim, running_victim

CLIENTS = 24
CLIPS = 64
SECONDS = 60.0 if TORTURE else 3.0
BODY = to_npy(to_int16(make_clips(CLIPS, 4096)))


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("overload")
    checkpoint = make_victim(folder / "victim", clip_samples=4096)
    # Room for two requests, and a model that is slow enough for a queue: one thread.
    with running_victim(
        checkpoint, folder, plan="demo", budget=10_000_000, queue_clips=2 * CLIPS, workers=1
    ) as running:
        yield running


async def flood(victim: RunningVictim) -> dict[str, httpx.Response]:
    """Let all clients send without pause; return the answer to every idempotency key."""
    answers: dict[str, httpx.Response] = {}
    ends = time.monotonic() + SECONDS
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=victim.url, limits=limits, timeout=60) as client:

        async def send(number: int) -> None:
            count = 0
            while time.monotonic() < ends:
                name = f"flood-{number:03d}-{count:05d}"
                answers[name] = await post(client, victim.key, name)
                count += 1

        await asyncio.gather(*(send(number) for number in range(CLIENTS)))
    return answers


async def post(client: httpx.AsyncClient, key: str, name: str) -> httpx.Response:
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "application/x-npy",
        "accept": "application/x-npy",
        "idempotency-key": name,
    }
    return await client.post("/v1/classify", content=BODY, headers=headers)


@pytest.mark.timeout(300)
def test_what_does_not_fit_is_refused_uncharged_and_answered_when_it_obeys(victim):
    answers = asyncio.run(flood(victim))
    refused = {name: answer for name, answer in answers.items() if answer.status_code != 200}
    assert 0 < len(refused) < len(answers)
    for answer in refused.values():
        assert answer.status_code in (429, 503), answer.text
        assert answer.json()["code"] in ("queue-full", "rate-limited")
        assert 1 <= int(answer.headers["retry-after"]) <= 10
    assert "queue-full" in {answer.json()["code"] for answer in refused.values()}
    sold = asyncio.run(sold_by_name(victim.ledger_url))
    assert {name for name, facts in sold.items() if facts.charged} == answers.keys() - refused
    assert all(facts.charged in (0, CLIPS) for facts in sold.values())

    async def obey() -> int:
        name, answer = next(iter(refused.items()))
        await asyncio.sleep(int(answer.headers["retry-after"]))
        async with httpx.AsyncClient(base_url=victim.url, timeout=60) as client:
            return (await post(client, victim.key, name)).status_code

    assert asyncio.run(obey()) == 200
