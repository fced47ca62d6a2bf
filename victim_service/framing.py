"""What belongs to which request: uvicorn's HTTP protocol, where it leaves that to chance.

It was read against uvicorn 0.54.0 (``uvicorn/protocols/http/httptools_impl.py``) and httptools
0.9.0, and test_door.py fails when the names that it relies on move. It overrides the methods whose
docstrings say what they add, and no others.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

import httptools
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from victim_service.cork import Cork
from victim_service.errors import Refusal
from victim_service.receiving import Receiver

_LARGE_BYTES = 65_536
"""Length of a body above which it waits until it is asked for."""
_CHUNK_SHARE = 8
"""Bytes of body for each byte of chunk sizes, extensions and trailers, beyond a head's worth."""


@dataclass(frozen=True)
class DoorLimits:
    """What connections may take up."""

    connections: int
    """Connections that are served; up to ``ABORT_FACTOR`` times as many are told so."""
    head_deadline_s: float
    """Time in which the head of a request must have arrived, from its first byte or, on a new
    connection, from its opening."""
    head_bytes: int
    """Most bytes of a head."""
    body_deadline_s: float
    """Time in which the rest of a body must have arrived that nobody reads any more."""
    write_deadline_s: float
    """Time in which a client must take enough of its answers for the next ones to be written."""
    rest_bytes: int
    """Most bytes of such a rest that are thrown away so that the connection can go on."""


class Framed(HttpToolsProtocol):
    """A connection whose requests begin and end where they say."""

    limits: DoorLimits

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._application, self.app = self.app, self._answer
        self._owed: deque[RequestResponseCycle] = deque()
        """Requests without a whole answer, the one that is being answered first."""
        self._head_done = False
        self._head_bytes = 0
        self._message_done = True
        self._line_taken = False
        self._body_left: int | None = 0
        """Bytes of the body that have not come; None where its length is not declared."""
        self._chunk_bytes = 0
        """Of a body in chunks: bytes that came, and were not body, less what is allowed."""
        self._discarding = False
        self._deaf = False
        """Whether nothing that comes is read any more."""
        self._takes_turn = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read into one buffer, write once a turn, and lose no answer by closing."""
        super().connection_made(Cork(transport, self.loop, self._on_close))  # type: ignore[arg-type]
        self.transport.set_protocol(Receiver(self))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who are owed an answer that they are gone, not only who asked last."""
        for cycle in self._owed:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    @property
    def in_body(self) -> bool:
        """Whether what comes next belongs to a body."""
        return self._head_done and not self._message_done

    @property
    def reads_much(self) -> bool:
        """Whether what comes next costs no more than to be copied."""
        return self._deaf or (self.in_body and self._body_left is not None)

    def refuse(self, refusal: Refusal) -> None:
        """Answer what cannot be read on, and close."""
        raise NotImplementedError

    def data_received(self, data: bytes | memoryview) -> None:
        """Parse what comes, within bounds.

        A head has a size. Of a body that nobody reads any more, bytes are counted and not parsed.
        Chunks are parsed a few at a time, since each costs a call; chunks and trailers that hold
        hardly any body are not parsed for long.
        """
        if self._discarding:
            data = self._discard(data)
        if self._message_done and not self._line_taken and data[:2] == b"\r\n":
            data = data[2:]  # some end a body with it (RFC 9112, 2.2), once
            self._line_taken = True
        if not data or self._deaf:
            return
        if self._message_done:  # these are the first bytes of the next request
            self._message_done, self._head_done, self._head_bytes = False, False, 0
        if not self._head_done:
            self._head_bytes += len(data)
        elif self._body_left is None:
            self._chunk_bytes += len(data)
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._deaf or self._message_done or self.transport.is_closing():
            return
        if not self._head_done:
            if self._head_bytes > self.limits.head_bytes:
                self.refuse(self._too_large())
        elif self._body_left is None:
            self._take_turns()

    def on_message_begin(self) -> None:
        """Begin another head."""
        if self._message_done:  # pipelined: the one before ended in the same read
            self._head_bytes = 0
        self._message_done = self._head_done = self._line_taken = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is none."""
        if not self._head_done:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request over; a large body is only read once it is asked for.

        An application that refuses does not ask. httptools takes a body behind an offer to upgrade
        for the next request, so that is refused here.
        """
        # One read may have brought all of it, and some of the body, or several heads.
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self.limits.head_bytes:
            self.refuse(self._too_large())
            raise httptools.HttpParserError("the head is too large")
        length, chunked = _declared(self.headers)
        if self.parser.should_upgrade() and (length or chunked):
            self.refuse(_malformed("Upgrade is not for requests with a body. Send it without."))
            raise httptools.HttpParserError("an upgrade with a body")
        super().on_headers_complete()
        self._head_done = True  # not before: an address that cannot be read is no request
        self._owed.append(self.cycle)
        self._body_left = None if chunked else length
        self._chunk_bytes = 0
        if length > _LARGE_BYTES:
            self.flow.pause_reading()

    def on_body(self, body: bytes) -> None:
        """Count what came of the body."""
        if self._body_left is None:
            self._chunk_bytes -= len(body) + len(body) // _CHUNK_SHARE
        else:
            self._body_left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Know that what comes next is another request."""
        self._message_done = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Throw away what is left of the body of a request that was answered early."""
        if self._owed:
            self._owed.popleft()
        super().on_response_complete()
        if self.in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._discarding = True

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer.

        Where a body is left whose end is unknown or far, or which the client may keep to itself now
        that it has its answer, the answer says that the connection ends.
        """
        cycle = self._owed[0] if self._owed else None

        async def watched(message: Message) -> None:
            starts = message["type"] == "http.response.start"
            if starts and cycle is not None and cycle.more_body:
                left = self._body_left
                if left is None or left > self.limits.rest_bytes or cycle.waiting_for_100_continue:
                    cycle.keep_alive = False
            await send(message)

        await self._application(scope, receive, watched)

    def _feed(self, data: bytes | memoryview) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offered:
                data = data[offered.args[0] :]
            except httptools.HttpParserError as error:
                self.send_400_response(str(error))
                return

    def _discard(self, data: bytes | memoryview) -> bytes | memoryview:
        """Count what is left of a body that nobody reads; return what comes after it."""
        if self._body_left is None:
            return data
        rest = data[self._body_left :]
        self._body_left = max(0, self._body_left - len(data))
        if not self._body_left:
            self._discarding = False
            # The old one still waits for the body.
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.on_message_complete()
        return rest

    def _too_large(self) -> Refusal:
        limit = self.limits.head_bytes
        return _malformed(f"The head of the request is larger than {limit} bytes. Send less.")

    def _take_turns(self) -> None:
        """Let others have their turn before more chunks are read, each of which costs a call."""
        if self._chunk_bytes > self.limits.head_bytes:
            self.refuse(_malformed("The chunks and trailers hold little. Send larger chunks."))
        elif not self._takes_turn:
            self._takes_turn = True
            self.transport.pause_reading()
            self.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self._takes_turn = False
        if not self.transport.is_closing() and not self.flow.read_paused:
            self.transport.resume_reading()

    def _on_close(self) -> bool:
        """Read nothing any more; tell whether the client may still be sending."""
        self._deaf = True
        # Behind an answer that ends the connection may lie another request, unread.
        return not self._message_done or bool(self._owed)


def _declared(headers: list[tuple[bytes, bytes]]) -> tuple[int, bool]:
    """Return the declared length of a body, and whether it comes in chunks.

    The parser has seen that the length is a number, and that there are not both.
    """
    length, chunked = 0, False
    for name, value in headers:
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            chunked = True
    return length, chunked


def _malformed(detail: str) -> Refusal:
    return Refusal("malformed-request", detail)
