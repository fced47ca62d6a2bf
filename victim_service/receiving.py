"""How bytes reach a connection: read into one buffer that all connections use in turn.

An event loop reads and hands over before it turns to another connection, and the parser copies what
it keeps, so one buffer is enough. It stays in the processor's cache, where a fresh object for each
read would not: a service that throws away what it has refused feels the difference.
"""

import asyncio
from typing import Protocol

_HEAD_BYTES = 16_384
"""Read at once where a head is awaited, or chunks: all of it is parsed before others are served,
and behind a head lies only a body that may be refused."""
_BODY_BYTES = 262_144
_BUFFER = memoryview(bytearray(_BODY_BYTES))


class Connection(Protocol):
    """A connection that is told of what it receives, as by ``asyncio.Protocol``."""

    @property
    def reads_much(self) -> bool:
        """Whether what comes next costs no more than to be copied."""
        ...

    def data_received(self, data: memoryview) -> None:
        """Take ``data``, which is overwritten as soon as this returns."""
        ...

    def eof_received(self) -> None:
        """The other side sends no more."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        ...

    def pause_writing(self) -> None:
        """The other side does not take what is written."""
        ...

    def resume_writing(self) -> None:
        """The other side has taken enough."""
        ...


class Receiver(asyncio.BufferedProtocol):
    """Stands between a transport and ``connection``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.connection_lost = connection.connection_lost  # type: ignore[method-assign]
        self.pause_writing = connection.pause_writing  # type: ignore[method-assign]
        self.resume_writing = connection.resume_writing  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go."""
        return _BUFFER if self._connection.reads_much else _BUFFER[:_HEAD_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Hand over what was read."""
        self._connection.data_received(_BUFFER[:nbytes])

    def eof_received(self) -> None:
        """Let the transport close itself: who sends no more looks like who is gone."""
        self._connection.eof_received()
