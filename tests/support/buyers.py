"""Clients that buy without end and try every query again until it is answered."""

import asyncio
import contextlib
from dataclasses import dataclass, field

import httpx

from shared.audio import to_int16, to_npy
from tests.support.victims import make_clips

PASSING = frozenset({409, 429, 500, 502, 503})
_PAUSE_S = 0.05


@dataclass
class Buyers:
    """``clients`` tasks that buy batches of 1 and of 7 clips under keys of their own."""

    url: str
    key: str
    clients: int = 6
    clips: tuple[int, ...] = (1, 7)
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Idempotency key -> (clips, the answer's body)."""
    slowest_s: float = 0.0
    """Longest time in which a single request was answered or refused."""
    unexpected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = asyncio.Event()
        self._bodies = {count: to_npy(to_int16(make_clips(count))) for count in self.clips}

    async def run(self) -> None:
        """Buy until :meth:`stop`; every query that was begun is answered before this returns."""
        limits = httpx.Limits(max_connections=self.clients)
        async with httpx.AsyncClient(base_url=self.url, limits=limits, timeout=30) as client:
            await asyncio.gather(*(self._buy(client, number) for number in range(self.clients)))

    def stop(self) -> None:
        """Begin no further queries."""
        self._stop.set()

    async def replay(self, names: list[str]) -> dict[str, bytes]:
        """Send answered queries once more and return what is answered now."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
            return {
                name: await self._until_answered(client, name, self.answers[name][0])
                for name in names
            }

    async def _buy(self, client: httpx.AsyncClient, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            name = f"buyer-{number}-{count:06d}"
            clips = self.clips[count % len(self.clips)]
            self.answers[name] = (clips, await self._until_answered(client, name, clips))
            count += 1

    async def _until_answered(self, client: httpx.AsyncClient, name: str, clips: int) -> bytes:
        headers = {
            "authorization": f"Bearer {self.key}",
            "content-type": "application/x-npy",
            "accept": "application/x-npy",
            "idempotency-key": name,
        }
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            with contextlib.suppress(httpx.TransportError):  # the server is down: once more
                response = await client.post(
                    "/v1/classify", content=self._bodies[clips], headers=headers
                )
                self.slowest_s = max(self.slowest_s, loop.time() - begun)
                if response.status_code == 200:
                    return response.content
                if response.status_code not in PASSING:
                    self.unexpected.append(f"{name}: {response.status_code} {response.text}")
            await asyncio.sleep(_PAUSE_S)
