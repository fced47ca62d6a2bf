"""The connections of the service: uvicorn's HTTP protocol, bounded in number, time and size.

uvicorn leaves open what a hostile client can use up, and answers some errors as plain text. This
subclass of its protocol overrides the places named below and nothing else. It was read against
uvicorn 0.54.0 (``uvicorn/protocols/http/httptools_impl.py``), and test_door.py fails when the names
that it relies on move.

* ``connection_made``: a connection too many is answered with a problem document, not plain text;
  the head of an answer leaves together with its body.
* ``data_received``, ``on_message_begin``, ``on_headers_complete``, ``on_message_complete``: a
  deadline and a size for the head of a request; uvicorn has neither. A large body is not read
  before the application asks for it, which it does not if it refuses.
* ``on_body``, ``on_response_complete``: the rest of a body whose request was answered early has a
  deadline, and is counted instead of parsed.
* ``send_400_response``: what is not HTTP is answered with a problem document.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from victim_service.api.problems import problem_response
from victim_service.cork import Cork
from victim_service.errors import Refusal
from victim_service.receiving import Receiver

ABORT_FACTOR = 2
"""Times the limit on connections above which nobody is told anything any more."""
_LARGE_BYTES = 65_536
"""Length of a body above which it waits until it is asked for."""


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


def door(limits: DoorLimits, count: Callable[[str], None]) -> type[HttpToolsProtocol]:
    """Return the protocol class for ``limits``; ``count`` gets the code of each refusal."""
    return type("Door", (_Door,), {"limits": limits, "count": staticmethod(count)})


class _Door(HttpToolsProtocol):
    limits: DoorLimits
    count: Callable[[str], None]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_done = False
        self._head_bytes = 0
        self._message_done = False
        self._body_left: int | None = 0
        """Bytes of the body that have not come; None where its length is not declared."""
        self._discarding = False
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(Cork(transport, self.loop))  # type: ignore[arg-type]
        self.transport.set_protocol(Receiver(self))
        if len(self.connections) > self.limits.connections:
            if len(self.connections) > ABORT_FACTOR * self.limits.connections:
                self.transport.abort()
                return
            self.app = self._full
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        # A client that asks and does not read would keep its connection for ever.
        self._stop_write_timer()
        deadline_s = self.limits.write_deadline_s
        self._write_timer = self.loop.call_later(deadline_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_timer()

    @property
    def in_body(self) -> bool:
        """Whether what comes next belongs to a body."""
        return self._head_done and not self._message_done

    def data_received(self, data: bytes | memoryview) -> None:
        if self._discarding:
            data = self._discard(data)
            if not data:
                return
        if self._message_done:  # these are the first bytes of the next request
            self._message_done, self._head_done, self._head_bytes = False, False, 0
        if not self._head_done:
            self._head_bytes += len(data)
        super().data_received(data)  # type: ignore[arg-type]
        if self._head_done or self.transport.is_closing():
            return
        if self._head_bytes > self.limits.head_bytes:
            self._refuse(self._too_large())
        elif self._timer is None:
            self._await_head()

    def on_message_begin(self) -> None:
        if self._message_done:  # pipelined: the one before ended in the same read
            self._head_bytes = 0
        self._message_done = self._head_done = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_done = True
        self._stop_timer()
        if self._head_bytes > self.limits.head_bytes:
            # One read brought all of it, and perhaps some of the body.
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > self.limits.head_bytes:
                self._refuse(self._too_large())
                raise httptools.HttpParserError("the head is too large")
        super().on_headers_complete()
        self._body_left = _declared_length(self.headers)
        if (self._body_left or 0) > _LARGE_BYTES:
            self.flow.pause_reading()

    def on_body(self, body: bytes) -> None:
        if self._body_left is not None:
            self._body_left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._message_done = True
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        cut_off = self.cycle.response_complete and self.cycle.more_body
        if cut_off and not self.transport.is_closing():
            # Answered before its body was whole: what still comes is read and thrown away, so that
            # the connection can go on, but not for ever.
            self._stop_timer()
            self._timer = self.loop.call_later(self.limits.body_deadline_s, self.transport.close)
            self._discarding = self._body_left is not None

    def _discard(self, data: bytes | memoryview) -> bytes | memoryview:
        """Count what is left of a body that nobody reads; return what comes after it."""
        left = self._body_left or 0
        rest = data[left:]
        self._body_left = max(0, left - len(data))
        if not self._body_left:
            self._discarding, self._message_done = False, True
            self._stop_timer()
            # The old one still waits for the body.
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return rest

    def send_400_response(self, msg: str) -> None:
        self._refuse(Refusal("malformed-request", "This is not HTTP/1.1. Mend the request."))

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(self.limits.head_deadline_s, self._head_late)

    def _head_late(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_head()  # the head of a pipelined request: the one before goes first
            return
        self._refuse(Refusal("slow-body", "The head of the request did not arrive in time."))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with a problem document and close."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:  # else it would cut into an answer
            self.count(refusal.code)
            response = problem_response(refusal)
            headers = [*self.server_state.default_headers, *response.raw_headers]
            lines = [b"HTTP/1.1 %d %s" % (response.status_code, refusal.code.encode())]
            lines += [name + b": " + value for name, value in headers]
            lines += [b"connection: close", b"", bytes(response.body)]
            self.transport.write(b"\r\n".join(lines))
        self.transport.close()

    def _too_large(self) -> Refusal:
        limit = self.limits.head_bytes
        return Refusal(
            "malformed-request", f"The head of the request is larger than {limit} bytes. Send less."
        )

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    async def _full(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = Refusal(
            "queue-full",
            "The service has as many connections as it takes. Retry later, over fewer.",
            retry_after_s=1.0,
            headers={"Connection": "close"},
        )
        self.count(refusal.code)
        await problem_response(refusal)(scope, receive, send)


def _declared_length(headers: list[tuple[bytes, bytes]]) -> int | None:
    """Return the Content-Length, which the parser has seen to be a number, if there is one."""
    return next((int(value) for name, value in headers if name == b"content-length"), None)
