"""A lean HTTP/1.1 client, so that measuring costs the server as little of the processors as can be.

Requests are bytes made beforehand; answers are parsed in C. A connection carries one request at a
time and is opened again when the server closed it.
"""

import asyncio
import contextlib
import statistics
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httptools

ResultT = TypeVar("ResultT")
LOST = 0
"""Stands for a status where the connection was lost before a whole answer came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, and the time from the first byte sent to the last one received."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes
    seconds: float


def request_bytes(
    url: str, path: str, headers: dict[str, str], body: bytes = b"", method: str = "POST"
) -> tuple[bytes, bytes]:
    """Return (head, body) of a request; the head may be split to put other header lines in."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), body


def with_line(head: bytes, name: str, value: str) -> bytes:
    """Return ``head`` with one header line more, for what differs from request to request."""
    return head[:-2] + f"{name}: {value}\r\n\r\n".encode("latin-1")


class _Wire(asyncio.Protocol):
    """The bytes of one connection; the parser calls the ``on_`` methods."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.waiter: asyncio.Future[tuple[int, dict[str, str], bytes]] | None = None
        self.open = False
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._keep_alive = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.open = True

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"not an HTTP answer: {error}"))
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        self._fail(error or ConnectionResetError("the server closed the connection"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        answer = status, self._headers, b"".join(self._chunks)
        keep_alive = self._keep_alive
        self._begin()
        if status < 200:  # 100 Continue: the answer itself is still to come
            return
        if not keep_alive:
            self.close()
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(answer)

    def close(self) -> None:
        self.open = False
        if self.transport is not None:
            self.transport.close()

    def _fail(self, error: Exception) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(error)


class Connection:
    """One client: use as an asynchronous context manager, or call ``close``."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._wire: _Wire | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def send(self, parts: Iterable[bytes], timeout_s: float | None = None) -> Answer:
        """Send the bytes of one request and return its answer.

        Raises:
            ConnectionError: there is no server, or the connection was lost before the answer.
            TimeoutError: ``timeout_s`` passed; the connection is closed.
        """
        begun = time.perf_counter()
        if self._wire is None or not self._wire.open:
            loop = asyncio.get_running_loop()
            _, self._wire = await loop.create_connection(_Wire, self._host, self._port)
        wire = self._wire
        if wire.transport is None:
            raise ConnectionError("the connection has no transport")
        wire.waiter = asyncio.get_running_loop().create_future()
        wire.transport.writelines(parts)
        try:
            async with asyncio.timeout(timeout_s):
                status, headers, body = await wire.waiter
        except (TimeoutError, asyncio.CancelledError):
            wire.close()  # a late answer must not be taken for that of the next request
            raise
        return Answer(status, headers, body, time.perf_counter() - begun)

    async def get(self, url: str, path: str, headers: dict[str, str] | None = None) -> Answer:
        """Return the answer to a GET."""
        return await self.send(request_bytes(url, path, headers or {}, method="GET"))

    def close(self) -> None:
        """Close the connection."""
        if self._wire is not None:
            self._wire.close()


@dataclass
class Load:
    """What a number of clients saw while the window of measurement was open."""

    seconds: float
    clips: float = 0.0
    """Clips answered; a request that lies partly in the window counts in proportion."""
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    """Of the answers with status 200."""
    refusals_s: list[float] = field(default_factory=list)
    """Latencies of all other answers."""

    @property
    def clips_per_s(self) -> float:
        """Goodput."""
        return self.clips / self.seconds

    @property
    def failures(self) -> int:
        """Requests that were not answered with 200."""
        return sum(count for status, count in self.statuses.items() if status != 200)

    def latency_s(self, share: float) -> float:
        """Return a quantile of the latency of good answers; 0 where there are none."""
        if len(self.latencies_s) < 2:
            return sum(self.latencies_s)
        return statistics.quantiles(self.latencies_s, n=1000, method="inclusive")[
            min(998, int(share * 1000) - 1)
        ]


Make = Callable[[int, int], Sequence[bytes]]
"""Makes the bytes of a request from the client's number and its count of requests."""


async def closed_loop(
    url: str,
    make: Make,
    *,
    clients: int,
    clips: int,
    seconds: float,
    lead_s: float = 0.3,
    retry_pause_s: float | None = None,
    timeout_s: float = 60.0,
) -> Load:
    """Let ``clients`` send requests of ``clips`` clips, each when its last one was answered.

    The window of ``seconds`` opens ``lead_s`` after the start, when all clients are at work, and
    they stay at work until it has closed. With ``retry_pause_s`` a request answered with 429 or
    503 is sent again after that pause, the same bytes; otherwise the client goes on to the next.
    """
    opens = time.perf_counter() + lead_s
    closes = opens + seconds
    load = Load(seconds)

    def count(status: int, begun: float, ended: float) -> None:
        inside = min(ended, closes) - max(begun, opens)
        if inside <= 0:
            return
        if status == 200:
            load.clips += clips * inside / (ended - begun)
        if opens < ended <= closes:
            load.statuses[status] += 1
            (load.latencies_s if status == 200 else load.refusals_s).append(ended - begun)

    async def client(number: int) -> None:
        async with Connection(url) as connection:
            sent = 0
            while time.perf_counter() < closes:
                parts = make(number, sent)
                sent += 1
                while True:
                    begun = time.perf_counter()
                    try:
                        status = (await connection.send(parts, timeout_s)).status
                    except (OSError, TimeoutError):
                        status = LOST
                        await asyncio.sleep(0.01)
                    count(status, begun, time.perf_counter())
                    again = retry_pause_s is not None and status in (429, 503)
                    if not again or time.perf_counter() >= closes:
                        break
                    await asyncio.sleep(retry_pause_s or 0.0)

    await asyncio.gather(*(client(number) for number in range(clients)))
    return load


def new_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop of the quickest kind there is."""
    with contextlib.suppress(ImportError):
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop
    return asyncio.new_event_loop()


def run(coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run ``coroutine`` on the quickest event loop there is."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(coroutine)
