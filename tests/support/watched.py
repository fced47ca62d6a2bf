"""A shop whose accounts are watched by the detector of tests."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from shared.audio import from_npy
from shared.config import validate
from tests.support.apps import SAMPLES, Shop, open_shop
from tests.support.detectors import NothingFitted, clips_of
from victim_service.account_state import AccountState
from victim_service.plans import Plan

Story = Callable[[Shop], Awaitable[None]]
NOWHERE = Path()
WATCHED = {"name": "soft", "label_mode": "soft", "budget": 100, "detectors": [{"kind": "loud"}]}
LADDER = {
    "alarms": 2,
    "steps": [
        {"kind": "price_up", "factor": 2},
        {"kind": "degrade", "label_mode": "hard"},
        {"kind": "challenge", "bits": 9},
        {"kind": "throttle", "rate_per_s": 0.01, "burst": 4},
        {"kind": "suspend"},
    ],
}


def plan_of(**fields: Any) -> Plan:
    """Return a watched plan with other fields."""
    return validate({**WATCHED, **fields}, Plan, origin="test")


def play(ledger_url: str, story: Story, plan: Plan | None = None, **options: Any) -> None:
    """Run a story on a shop that sells ``plan``."""
    plan = plan or plan_of(ladder=LADDER)
    options = {"reference": NothingFitted(), **options}

    async def main() -> None:
        async with open_shop(
            NOWHERE, ledger_url=ledger_url, plans={plan.name: plan}, **options
        ) as shop:
            await asyncio.wait_for(story(shop), 30)

    asyncio.run(main())


async def send(shop: Shop, key: str, loud: str, **options: Any) -> httpx.Response:
    """Send a clip for each letter."""
    return await shop.send(key, clips_of(loud, SAMPLES), **options)


def good(response: httpx.Response) -> np.ndarray:
    """Return what was answered."""
    assert response.status_code == 200, response.text
    return from_npy(response.content, max_bytes=100_000)


def refused(response: httpx.Response, code: str) -> dict[str, Any]:
    """Return the problem document of a refusal."""
    document: dict[str, Any] = response.json()
    assert document["code"] == code, document
    return document


async def put_on(shop: Shop, rung: int) -> None:
    """Put the account ``alice`` on a rung of its ladder."""
    await shop.ledger.set_account_state("alice", AccountState(rung=rung).text)
