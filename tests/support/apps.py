"""A victim application in this process, without a socket, for tests of the wire."""

import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np

from shared.audio import to_int16, to_npy, to_wav
from shared.contract import CLASSIFY_PATH, Scope
from tests.support.victims import make_clips
from victim_service.app import create_app
from victim_service.batching import Predict
from victim_service.keys import issue
from victim_service.ledger import Ledger, open_ledger
from victim_service.model import VictimCard
from victim_service.observing import Fitter
from victim_service.parts import Parts
from victim_service.plan_book import PlanBook
from victim_service.plans import Plan
from victim_service.settings import Settings

SAMPLES, RATE_HZ = 256, 4000
NAMES = ["ann", "bob", "cid", "dee"]
NPY = "application/x-npy"
CARD = VictimCard("c" * 64, NAMES, RATE_HZ, SAMPLES)
SECRET = b"s" * 32
_NAMES = itertools.count(1)
"""Across all shops: those on one ledger must not replay one another by accident."""
PLANS = {
    plan.name: plan
    for plan in (
        Plan(name="soft", label_mode="soft", budget=100, rate_per_s=1000, burst=64),
        Plan(name="top2", label_mode="top_k", top_k=2, budget=100),
        Plan(name="hard", label_mode="hard", budget=100, headers="none"),
        Plan(name="slow", label_mode="hard", budget=100, rate_per_s=2, burst=4),
        Plan(name="family", label_mode="hard", budget=100, account_budget=10),
    )
}


def loudness_model(clips: np.ndarray) -> np.ndarray:
    """Four probabilities (B, 4) that are a simple function of each clip."""
    logits = np.stack([clips.mean(1), clips.std(1), clips[:, 0], clips[:, -1]], axis=1) * 5
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


class Shop:
    """A client of the application, and its parts."""

    def __init__(self, client: httpx.AsyncClient, parts: Parts, ledger: Ledger) -> None:
        self.client, self.parts, self.ledger = client, parts, ledger

    async def key(
        self, plan: str = "soft", scope: Scope = "query", account: str = "alice", **options: float
    ) -> str:
        """Issue a key."""
        key, record = issue(account, plan, scope, **options)  # type: ignore[arg-type]
        await self.ledger.add_key(record)
        return key

    async def send(
        self,
        key: str,
        clips: np.ndarray | int = 1,
        *,
        name: str | None = None,
        accept: str = NPY,
        **headers: str,
    ) -> httpx.Response:
        """Send clips (or that many made ones) as npy under an idempotency key of their own."""
        if isinstance(clips, int):
            clips = make_clips(clips, SAMPLES)
        return await self.client.post(
            CLASSIFY_PATH,
            content=to_npy(to_int16(clips)),
            headers={
                "authorization": f"Bearer {key}",
                "content-type": NPY,
                "accept": accept,
                "idempotency-key": name or f"test-key-{next(_NAMES):06d}",
                **headers,
            },
        )

    async def post(self, key: str, body: bytes, media_type: str, **headers: str) -> httpx.Response:
        """Send any body."""
        sent = {"authorization": f"Bearer {key}", "content-type": media_type, **headers}
        return await self.client.post(CLASSIFY_PATH, content=body, headers=sent)

    async def post_wav(self, key: str, **headers: str) -> httpx.Response:
        """Send one clip as WAV."""
        wav = to_wav(make_clips(1, SAMPLES)[0], RATE_HZ)
        return await self.post(key, wav, "audio/wav", **headers)

    async def get(self, path: str, key: str | None = None) -> httpx.Response:
        """Get a path."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return await self.client.get(path, headers=headers)

    async def spent(self, key: str) -> int:
        """Clips charged to the account's key, as the wire tells it."""
        response = await self.get("/v1/account", key)
        return int(response.json()["spent"])


@contextlib.asynccontextmanager
async def open_shop(
    folder: Path,
    predict: Predict = loudness_model,
    *,
    plans: dict[str, Plan] | None = None,
    ledger_url: str | None = None,
    card: VictimCard = CARD,
    secret: bytes = SECRET,
    reference: Fitter | None = None,
    **settings: float,
) -> AsyncIterator[Shop]:
    """Run an application on a small model; its ledger is in ``folder`` unless a URL is given."""
    chosen = Settings(**({"max_batch_clips": 64} | settings))  # type: ignore[arg-type]
    url = ledger_url or f"sqlite:///{folder / 'ledger.sqlite'}"
    ledger = open_ledger(url, chosen.ledger_timeout_s)
    plan_book = PlanBook(ledger)
    await plan_book.sync_files(PLANS if plans is None else plans)
    parts = Parts(
        settings=chosen,
        card=card,
        ledger=ledger,
        plan_book=plan_book,
        predict=predict,
        secret=secret,
        reference=reference,
    )
    app = create_app(chosen, parts)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    try:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://victim") as client,
        ):
            yield Shop(client, parts, ledger)
    finally:
        await ledger.aclose()
