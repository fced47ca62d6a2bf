"""The door: what uvicorn leaves open is bounded, on a real event loop's sockets."""

import asyncio
import contextlib
import dataclasses
import importlib.metadata
import inspect
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from shared.errors import PROBLEM_MEDIA_TYPE
from victim_service.door import door
from victim_service.framing import DoorLimits

LIMITS = DoorLimits(
    connections=3, head_deadline_s=0.4, head_bytes=4096, body_deadline_s=0.4, write_deadline_s=0.4,
    rest_bytes=4_000_000,
)  # fmt: skip
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
Talk = Callable[["Site"], Awaitable[None]]


_LONG_BYTES = 20_000_000  # more than sockets and buffers take


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, without reading the body; /slow waits before it does."""
    if scope["type"] != "http":
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(0.8)
    if scope["path"] == "/long":
        length = (b"content-length", b"%d" % _LONG_BYTES)
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": bytes(_LONG_BYTES)})
        return
    length = (b"content-length", b"5")
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": b"hello"})


class Site:
    """A server behind the door, and clients of it."""

    def __init__(self, port: int, counted: list[str]) -> None:
        self.port, self.counted = port, counted

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator["Client"]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer: (status, headers, body)."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await self.reader.readexactly(int(headers["content-length"]))
        return int(head[0].split()[1]), headers, body

    async def problem(self) -> tuple[int, str]:
        """Read a problem document, after which the connection is closed: (status, code)."""
        status, headers, body = await self.answer()
        assert headers["content-type"] == PROBLEM_MEDIA_TYPE
        assert headers["connection"] == "close"
        document = json.loads(body)
        assert document["status"] == status
        assert await self.ended()
        return status, str(document["code"])

    async def ended(self) -> bool:
        """Whether the server closes the connection without another byte."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read(1) == b""
        return True


def talk(story: Talk, limits: DoorLimits = LIMITS, app: ASGIApp = hello) -> list[str]:
    """Run ``story`` against a server behind the door; return the codes that were counted."""
    counted: list[str] = []

    async def main() -> None:
        config = uvicorn.Config(
            app, http=door(limits, counted.append), log_level="error", lifespan="off", port=0
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            port = server.servers[0].sockets[0].getsockname()[1]
            await asyncio.wait_for(story(Site(port, counted)), 20)
        finally:
            server.should_exit = True
            await task

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the service does
        runner.run(main())
    return counted


def test_uvicorn_is_the_one_that_the_door_was_read_against():
    for name, version in (("uvicorn", "0.54.0"), ("httptools", "0.9.0")):
        assert importlib.metadata.version(name) == version, (
            f"read victim_service/door.py and framing.py against the new {name}, then change this"
        )


def test_every_name_that_the_door_relies_on_is_still_there():
    overridden = (
        "__init__ connection_made connection_lost data_received on_message_begin on_header "
        "on_headers_complete on_body on_message_complete on_response_complete send_400_response "
        "pause_writing resume_writing _unset_keepalive_if_required"
    )
    for name in overridden.split():
        assert inspect.isfunction(getattr(HttpToolsProtocol, name)), name
    source = inspect.getsource(httptools_impl)
    attributes = (
        "self.connections = ",
        "self.app = ",
        "self.cycle: ",
        "self.transport: ",
        "self.loop = ",
        "self.server_state = ",
        "self.headers: ",
        'self.url = b""',
        "app = self.app",
        "self.flow: ",
        "self.pipeline: deque[tuple[RequestResponseCycle, ",
        "self.parser = httptools.HttpRequestParser(self)",
        "self.parser.set_dangerous_leniencies(lenient_data_after_close=True)",
        "self.send_400_response(",
        "on_response=self.on_response_complete",
    )
    for text in attributes:
        assert text in source, text
    cycle = inspect.getsource(RequestResponseCycle)
    assert "self.response_complete = " in cycle
    for name in (
        "more_body", "keep_alive", "disconnected", "message_event", "response_started",
        "waiting_for_100_continue",
    ):  # fmt: skip
        assert f"self.{name} = " in cycle, name


def test_a_request_is_answered_again_and_again_on_one_connection():
    async def story(site: Site) -> None:
        async with site.connect() as client:
            for _ in range(3):
                await client.send(GET)
                assert (await client.answer())[::2] == (200, b"hello")

    assert talk(story) == []


def test_pipelined_requests_are_answered_in_order():
    async def story(site: Site) -> None:
        async with site.connect() as client:
            body = b"x" * 6000
            post = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 6000\r\n\r\n" + body
            await client.send(post + GET[:10])
            await asyncio.sleep(0.1)
            await client.send(GET[10:] + GET)
            for _ in range(3):
                assert (await client.answer())[0] == 200

    assert talk(story) == []


def test_what_is_not_http_is_answered_with_a_problem():
    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")
            assert await client.problem() == (400, "malformed-request")

    assert talk(story) == ["malformed-request"]


def test_a_silent_connection_is_closed_at_the_deadline():
    async def story(site: Site) -> None:
        async with site.connect() as client:
            assert await client.problem() == (408, "slow-body")

    assert talk(story) == ["slow-body"]


@pytest.mark.parametrize("first", [b"", GET])
@pytest.mark.parametrize("drip", [b"x-drip: 1\r\n", b"\r\n"])
def test_a_dripping_head_is_closed_at_the_deadline(first, drip):
    async def story(site: Site) -> None:
        async with site.connect() as client:
            if first:
                await client.send(first)
                assert (await client.answer())[0] == 200
            begun = asyncio.get_running_loop().time()
            start = b"" if drip == b"\r\n" else b"GET / HTTP/1.1\r\nhost: x\r\n"
            await client.send(start + drip)
            dripping = asyncio.create_task(repeat(client, drip))
            assert await client.problem() == (408, "slow-body")
            assert asyncio.get_running_loop().time() - begun < 3
            dripping.cancel()

    assert talk(story) == ["slow-body"]


async def repeat(client: Client, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            await asyncio.sleep(0.05)
            await client.send(data)


def test_an_idle_kept_connection_may_be_idle():
    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(GET)
            await client.answer()
            await asyncio.sleep(2 * LIMITS.head_deadline_s)
            await client.send(GET)
            assert (await client.answer())[0] == 200

    assert talk(story) == []


def test_the_deadline_of_the_next_head_does_not_cut_the_answer_before_it():
    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(GET.replace(b"/ ", b"/slow ", 1) + b"GET / HTTP/1.1\r\n")
            assert (await client.answer())[::2] == (200, b"hello")
            assert await client.problem() == (408, "slow-body")

    assert talk(story) == ["slow-body"]


@pytest.mark.parametrize(("sent", "parts"), [(20_000, 1), (8_000, 1), (4_200, 20)])
def test_a_head_that_is_too_large_is_refused(sent, parts):
    async def story(site: Site) -> None:
        async with site.connect() as client:
            lines = b"".join(b"x-%d: %b\r\n" % (number, b"y" * 200) for number in range(60))
            head = (b"GET / HTTP/1.1\r\nhost: x\r\n" + lines + b"\r\n")[:sent]
            step = sent // parts
            for start in range(0, sent, step):
                await client.send(head[start : start + step])
                await asyncio.sleep(0.005)
            assert await client.problem() == (400, "malformed-request")

    assert talk(story) == ["malformed-request"]


def test_a_large_body_in_the_same_read_does_not_count_as_head():
    async def story(site: Site) -> None:
        async with site.connect() as client:
            body = b"y" * 50_000
            head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 50000\r\n\r\n"
            for _ in range(3):
                await client.send(head + body)
                assert (await client.answer())[0] == 200

    assert talk(story) == []


def test_connections_beyond_the_limit_are_told_so_and_others_are_served():
    async def story(site: Site) -> None:
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(site.connect()) for _ in range(3)]
            async with site.connect() as one_more:
                await one_more.send(GET)
                assert await one_more.problem() == (503, "queue-full")
            for client in clients:
                await client.send(GET)
                assert (await client.answer())[0] == 200

    assert set(talk(story)) == {"queue-full"}


def test_a_place_that_is_given_up_can_be_had():
    async def story(site: Site) -> None:
        for _ in range(10):
            async with site.connect() as client:
                await client.send(GET)
                assert (await client.answer())[0] == 200
            await asyncio.sleep(0.02)

    assert talk(story) == []


def test_far_too_many_connections_are_dropped():
    async def story(site: Site) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(6):
                await stack.enter_async_context(site.connect())
            await asyncio.sleep(0.05)
            async with site.connect() as one_more:
                assert await one_more.ended()

    talk(story)


def test_the_rest_of_a_body_that_was_answered_early_is_read_but_not_for_ever():
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n"

    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(head + b"x" * 1000)
            assert (await client.answer())[0] == 200
            await client.send(b"x" * 99_000)
            await client.send(GET)
            assert (await client.answer())[0] == 200
            await client.send(head + b"x" * 1000)
            assert (await client.answer())[0] == 200
            begun = asyncio.get_running_loop().time()
            dripping = asyncio.create_task(repeat(client, b"x"))
            assert await client.ended()
            assert asyncio.get_running_loop().time() - begun < 3  # uvicorn would wait for 5 s
            dripping.cancel()

    assert talk(story) == []


@pytest.mark.parametrize("length", [1, 16_384, 70_000, 2_000_000])
@pytest.mark.parametrize("step", [1 << 30, 100_001, 4096])
def test_what_follows_a_body_that_was_answered_early_is_the_next_request(length, step):
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % length
    # What looks like a request is none as long as it is body.
    body = (GET * (length // len(GET) + 1))[:length]
    sent = (head + body) * 2 + GET

    async def story(site: Site) -> None:
        async with site.connect() as client:
            for start in range(0, len(sent), step):
                await client.send(sent[start : start + step])
                await asyncio.sleep(0)
            for _ in range(3):
                assert (await client.answer())[::2] == (200, b"hello")
            await client.send(GET)
            assert (await client.answer())[0] == 200

    assert talk(story, dataclasses.replace(LIMITS, body_deadline_s=10.0)) == []


CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        (CHUNKED + b"5\r\nhello\r\n", b"1\r\nx\r\n" * 100_000),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n", b"x" * 9_000_000),
        (b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n", GET),
    ],
    ids=["chunks", "large", "expects"],
)
def test_where_the_next_request_is_out_of_sight_the_answer_says_that_it_is_the_last(start, rest):
    """And is not lost, although the client is still sending."""

    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(start)
            await asyncio.sleep(0.1)
            with contextlib.suppress(ConnectionError):
                await client.send(rest)
            status, headers, body = await client.answer()
            assert (status, headers["connection"], body) == (200, "close", b"hello")
            assert await client.ended()

    assert talk(story) == []


def test_an_answer_is_had_by_who_reads_only_when_all_is_sent():
    head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9000000\r\n\r\n"

    def blocking(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(head + b"x" * 9_000_000)
            return sock.recv(100)

    async def story(site: Site) -> None:
        assert b"200" in await asyncio.to_thread(blocking, site.port)

    assert talk(story) == []


def test_a_line_behind_a_body_is_no_request():
    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
            assert (await client.answer())[0] == 200
            await client.send(b"\r\n")
            await asyncio.sleep(2 * LIMITS.head_deadline_s)
            await client.send(GET)
            assert (await client.answer())[::2] == (200, b"hello")

    assert talk(story) == []


def test_the_last_answer_is_whole_although_more_was_asked_for():
    async def last(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        size = (b"content-length", b"3000000")
        headers = [size, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(3_000_000)})

    async def story(site: Site) -> None:
        async with site.connect() as client:
            for _ in range(3):
                await client.send(GET)
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)
            assert len((await client.answer())[2]) == 3_000_000
            assert await client.ended()

    talk(story, app=last)


async def asks(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the whole body, and answer its length."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    body = b"%d" % size
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


def test_chunks_and_trailers_of_any_cut_are_read():
    sent = CHUNKED + b"800\r\n" + b"x" * 2048 + b"\r\n3;ext=1\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"

    async def story(site: Site) -> None:
        for step in (7, 100, 10_000):
            async with site.connect() as client:
                for _ in range(2):
                    for start in range(0, len(sent), step):
                        await client.send(sent[start : start + step])
                        await asyncio.sleep(0)
                    assert (await client.answer())[::2] == (200, b"2051")

    talk(story, dataclasses.replace(LIMITS, head_deadline_s=5.0), app=asks)


def test_a_large_body_in_chunks_is_read():
    sent = CHUNKED + (b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 50 + b"0\r\n\r\n"

    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(sent + GET)
            assert (await client.answer())[2] == b"%d" % (50 * 65_536)
            assert (await client.answer())[2] == b"0"

    assert talk(story, app=asks) == []


@pytest.mark.parametrize(
    "endless",
    [b"1\r\nx\r\n", b"1;" + b"e" * 500 + b"\r\nx\r\n", b"0\r\n" + b"a:b\r\n" * 20_000,
     b"0\r\na: " + b"x" * 99_999],
    ids=["small", "extended", "trailers", "trailer"],
)  # fmt: skip
def test_what_is_hardly_a_body_is_not_read_for_long(endless):
    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(CHUNKED)
            with contextlib.suppress(ConnectionError):
                for _ in range(100):
                    await client.send(endless * max(1, 2000 // len(endless)))
                    await asyncio.sleep(0.001)
            assert await client.problem() == (400, "malformed-request")

    assert talk(story, app=asks) == ["malformed-request"]


def test_trailers_are_no_headers():
    seen: list[list[bytes]] = []

    async def tells(scope: Scope, receive: Receive, send: Send) -> None:
        await asks(scope, receive, send)
        seen.append([name for name, _ in scope["headers"]])

    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(CHUNKED + b"0\r\nauthorization: Bearer x\r\n\r\n")
            assert (await client.answer())[0] == 200

    talk(story, app=tells)
    assert seen == [[b"host", b"transfer-encoding"]]


@pytest.mark.parametrize("length", [b"content-length: 40", b"transfer-encoding: chunked"])
def test_a_body_behind_an_offer_to_upgrade_is_not_taken_for_a_request(length):
    head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: h2c\r\n" + length
    seen: list[str] = []

    async def notes(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["method"])
        await asks(scope, receive, send)

    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(head + b"\r\n\r\n")
            await asyncio.sleep(0.05)
            await client.send(GET + GET)
            assert await client.problem() == (400, "malformed-request")

    assert talk(story, app=notes) == ["malformed-request"]
    assert "GET" not in seen


def test_a_request_behind_an_offer_to_upgrade_is_answered():
    offer = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n"

    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(offer + GET)
            for _ in range(2):
                assert (await client.answer())[::2] == (200, b"hello")

    assert talk(story) == []


def test_all_whose_client_left_are_told():
    left: list[str] = []

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left.append(scope["path"])

    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(GET + GET.replace(b"/ ", b"/second ", 1))
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.1)

    talk(story, app=waits)
    assert left[0] == "/"


@pytest.mark.parametrize(
    "broken",
    [
        *(b"\x00garbage\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET http://x HTTP/1.1\r\n\r\n"),
        *(b"GET http://x:99999/ HTTP/1.1\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\n\r\n"),
        b"GET / HTTP/1.1\r\nx-large: " + b"y" * 6000 + b"\r\n\r\n",
    ],
)
def test_who_asked_before_what_is_no_request_is_answered(broken):
    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(GET.replace(b"/ ", b"/slow ", 1) + GET + broken + GET)
            for connection in ("", "close"):
                status, headers, body = await client.answer()
                assert (status, body) == (200, b"hello")
                assert headers.get("connection", "") == connection
            assert await client.ended()

    assert talk(story) == []


@pytest.mark.parametrize(
    "framing", [b"transfer-encoding: gzip\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n5 \r\nx"]
)
def test_a_broken_body_is_answered_with_a_problem(framing):
    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(b"POST / HTTP/1.1\r\nhost: x\r\n" + framing)
            assert await client.problem() == (400, "malformed-request")

    assert talk(story, app=asks) == ["malformed-request"]


def test_a_body_that_breaks_in_mid_answer_does_not_cut_into_it():
    async def begins(scope: Scope, receive: Receive, send: Send) -> None:
        length = (b"content-length", b"1000")
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asks(scope, receive, lambda message: asyncio.sleep(0))

    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(CHUNKED + b"5\r\nhello\r\n")
            await client.reader.readuntil(b"half")
            await client.send(b"not a size\r\n")
            assert await client.ended()

    assert talk(story, app=begins) == []


def test_others_have_their_turn_beside_many_small_chunks():
    """Not by the clock: between any two answers only so much of the chunks is parsed."""
    parsed: list[int] = []

    async def counts(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            parsed.append(-1)
            await hello(scope, receive, send)
            return
        while (message := await receive())["type"] != "http.disconnect":
            parsed.append(len(message["body"]))

    async def story(site: Site) -> None:
        async with site.connect() as client, site.connect() as other:
            await client.send(CHUNKED + (b"40\r\n" + b"x" * 64 + b"\r\n") * 20_000)
            for _ in range(3):
                await other.send(GET)
                assert (await other.answer())[0] == 200

    talk(story, app=counts)
    assert max(parsed) <= 2 * 16_384


def test_a_large_body_waits_until_it_is_asked_for():
    """Most of a body that is refused at once is never copied, nor held."""
    seen: list[int] = []

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.3)
        seen.append(len((await receive())["body"]))
        await hello(scope, receive, send)

    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n")
            await client.send(b"x" * 200_000)
            assert (await client.answer())[0] == 200

    assert talk(story, app=late) == []
    assert len(seen) == 1
    assert seen[0] <= 16_384


def test_an_upgrade_that_nobody_offers_is_passed_over():
    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(
                b"GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\n"
                b"upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n"
            )
            assert (await client.answer())[::2] == (200, b"hello")

    talk(story)


def test_a_client_that_asks_and_does_not_read_loses_its_connection():
    async def story(site: Site) -> None:
        async with site.connect() as deaf:
            await deaf.send(GET.replace(b"/", b"/long", 1))
            await asyncio.sleep(2 * LIMITS.write_deadline_s)
            async with site.connect() as other:
                await other.send(GET)
                assert (await other.answer())[0] == 200
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await deaf.answer()

    talk(story)


def test_a_client_that_reads_slowly_but_reads_keeps_its_connection():
    async def story(site: Site) -> None:
        async with site.connect() as client:
            await client.send(GET.replace(b"/", b"/long", 1))
            await asyncio.sleep(LIMITS.write_deadline_s / 2)
            assert len((await client.answer())[2]) == _LONG_BYTES
            await asyncio.sleep(2 * LIMITS.write_deadline_s)
            await client.send(GET)
            assert (await client.answer())[0] == 200

    talk(story)
