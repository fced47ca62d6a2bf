"""A transport that writes once in each turn of the event loop, and closes without losing an answer.

uvicorn hands over the head of an answer and its body one after the other, and each would be a call
of the system that wakes the client: of a short answer, these are much of what it costs. And where a
connection is closed while the client still sends, the system throws away what the client has not
read yet: first the service's half is closed, and the rest only when the client has had its answer
(RFC 9112, 9.6).
"""

import asyncio
from collections.abc import Callable
from typing import Any

LINGER_S = 2.0
"""Time that a client has to stop sending."""
_STUCK_S = 4.0
"""Time in which a client must take something of what is left of its answer."""


class Cork:
    """``transport``, on which what is written in one turn of ``loop`` leaves together.

    ``on_close`` tells whether the client may still be sending; what comes then is for nobody.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        on_close: Callable[[], bool],
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._on_close = on_close
        self._held: list[bytes] = []
        self._closed = False

    def write(self, data: bytes) -> None:
        """Send ``data`` at the end of this turn."""
        if not self._held:
            self._loop.call_soon(self._let_go)
        self._held.append(data)

    def close(self) -> None:
        """Close the connection when all that was written has left."""
        if self._closed:
            return
        self._closed = True
        self._let_go()
        # Closing waits for all that was written, for ever if nobody reads it.
        self._loop.call_later(_STUCK_S, self._give_up, self._transport.get_write_buffer_size())
        if self._transport.is_closing() or not self._on_close():
            self._transport.close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
        self._loop.call_later(LINGER_S, self._transport.close)

    def is_closing(self) -> bool:
        """Whether the connection was closed from either side, or is about to be."""
        return self._closed or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transport's own."""
        return getattr(self._transport, name)

    def _give_up(self, before: int) -> None:
        left = self._transport.get_write_buffer_size()
        if 0 < left < before:
            self._loop.call_later(_STUCK_S, self._give_up, left)
        else:
            self._transport.abort()

    def _let_go(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            self._transport.writelines(held)
