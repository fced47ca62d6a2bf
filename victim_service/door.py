"""The door of the service: its connections, bounded in number and time.

uvicorn leaves open what a hostile client can use up, and answers some errors as plain text. This
subclass of its protocol adds to :mod:`victim_service.framing`, and overrides:

* ``connection_made``: a connection too many is answered with a problem document, not plain text.
* ``data_received``, ``on_headers_complete``, ``on_message_complete``: a deadline for the head of a
  request; uvicorn has none.
* ``on_response_complete``: a deadline for the rest of a body whose request was answered early.
* ``pause_writing``, ``resume_writing``: a deadline for taking an answer.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from victim_service.api.problems import problem_response
from victim_service.errors import Refusal
from victim_service.framing import DoorLimits, Framed

ABORT_FACTOR = 2
"""Times the limit on connections above which nobody is told anything any more."""


def door(limits: DoorLimits, count: Callable[[str], None]) -> type[HttpToolsProtocol]:
    """Return the protocol class for ``limits``; ``count`` gets the code of each refusal."""
    return type("Door", (_Door,), {"limits": limits, "count": staticmethod(count)})


class _Door(Framed):
    count: Callable[[str], None]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            if len(self.connections) > ABORT_FACTOR * self.limits.connections:
                self.transport.abort()
                return
            self._application = self._full
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

    def data_received(self, data: bytes | memoryview) -> None:
        super().data_received(data)
        awaits_head = not (self._message_done or self._head_done or self._deaf)
        if awaits_head and self._timer is None and not self.transport.is_closing():
            self._await_head()

    def on_headers_complete(self) -> None:
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._discarding:
            # What still comes is thrown away, so that the connection can go on, but not for ever.
            self._stop_timer()
            self._timer = self.loop.call_later(self.limits.body_deadline_s, self.transport.close)

    def refuse(self, refusal: Refusal) -> None:
        """Answer with a problem document and close, once all who asked before have their answers.

        It is about the request whose body is being read, or else about what comes after it.
        """
        if self._deaf or self.transport.is_closing():
            return
        self._stop_timer()
        broken = self._owed.pop() if self.in_body and self._owed else None
        if self._owed:
            self._deaf = True
            self.pipeline = deque(item for item in self.pipeline if item[0] is not broken)
            self._owed[-1].keep_alive = False
            return
        if broken is None or not broken.response_started:  # else it would cut into an answer
            self.count(refusal.code)
            self.transport.write(self._written(refusal))
        if broken is not None:
            broken.disconnected = True
            broken.message_event.set()
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self.refuse(Refusal("malformed-request", "This is not HTTP/1.1. Mend the request."))

    def _written(self, refusal: Refusal) -> bytes:
        """Return a whole answer that says why nothing more is read."""
        response = problem_response(refusal)
        headers = [*self.server_state.default_headers, *response.raw_headers]
        lines = [b"HTTP/1.1 %d %s" % (response.status_code, refusal.code.encode())]
        lines += [name + b": " + value for name, value in headers if name != b"connection"]
        lines += [b"connection: close", b"", bytes(response.body)]
        return b"\r\n".join(lines)

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(self.limits.head_deadline_s, self._head_late)

    def _head_late(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_head()  # the head of a pipelined request: the one before goes first
            return
        self.refuse(Refusal("slow-body", "The head of the request did not arrive in time."))

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
