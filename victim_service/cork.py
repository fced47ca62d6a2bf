"""A transport that writes once in each turn of the event loop.

uvicorn hands over the head of an answer and its body one after the other, and each would be a call
of the system that wakes the client: of a short answer, these are much of what it costs.
"""

import asyncio
from typing import Any


class Cork:
    """``transport``, on which what is written in one turn of ``loop`` leaves together."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send ``data`` at the end of this turn."""
        if not self._held:
            self._loop.call_soon(self._let_go)
        self._held.append(data)

    def close(self) -> None:
        """Close the connection when all that was written has left."""
        self._let_go()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transport's own."""
        return getattr(self._transport, name)

    def _let_go(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            self._transport.writelines(held)
