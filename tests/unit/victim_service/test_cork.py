"""The cork: what is written in one turn leaves at once, in order, and nothing is lost."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from victim_service.cork import Cork


class Wire(asyncio.Transport):
    """A transport that notes what it is told to do."""

    def __init__(self, unread: int = 0) -> None:
        super().__init__({"peername": ("client", 1)})
        self.told: list[Any] = []
        self.unread = unread

    def get_write_buffer_size(self) -> int:
        return self.unread

    def write_eof(self) -> None:
        self.told.append("eof")

    def resume_reading(self) -> None:
        self.told.append("read")

    def writelines(self, parts: Any) -> None:
        self.told.append(b"".join(parts))

    def close(self) -> None:
        self.told.append("close")

    def abort(self) -> None:
        self.told.append("abort")

    def is_closing(self) -> bool:
        return bool({"close", "abort"} & set(self.told))


def told(*steps: Callable[[Cork], object]) -> list[Any]:
    """Take ``steps`` in one turn of an event loop; return what the transport was told by then."""

    async def main() -> list[Any]:
        wire = Wire()
        cork = Cork(wire, asyncio.get_running_loop(), lambda: False)
        for step in steps:
            step(cork)
        await asyncio.sleep(0)
        return wire.told

    return asyncio.run(main())


def test_a_head_and_its_body_leave_together():
    assert told(lambda cork: cork.write(b"head "), lambda cork: cork.write(b"body")) == [
        b"head body"
    ]


def test_what_was_written_leaves_before_the_connection_is_closed():
    assert told(lambda cork: cork.write(b"answer"), Cork.close) == [b"answer", "close"]
    assert told(Cork.close) == ["close"]


def test_nothing_leaves_a_connection_that_was_dropped():
    assert told(lambda cork: cork.write(b"answer"), lambda cork: cork.abort()) == ["abort"]


def closed(monkeypatch: pytest.MonkeyPatch, sends: bool, *unread: int) -> list[Any]:
    """Close; return what the transport was told while it held ``unread`` bytes, in turn."""
    monkeypatch.setattr("victim_service.cork.LINGER_S", 0.02)
    monkeypatch.setattr("victim_service.cork._STUCK_S", 0.04)

    async def main() -> list[Any]:
        wire = Wire(unread[0])
        cork = Cork(wire, asyncio.get_running_loop(), lambda: sends)
        cork.write(b"answer")
        cork.close()
        assert cork.is_closing()
        for left in unread[1:]:
            wire.unread = left
            await asyncio.sleep(0.04)
        await asyncio.sleep(0.06)
        return wire.told

    return asyncio.run(main())


def test_who_still_sends_has_its_answer_before_the_connection_is_closed(monkeypatch):
    assert closed(monkeypatch, True, 0) == [b"answer", "eof", "read", "close", "abort"]


def test_who_takes_nothing_of_its_answer_is_dropped_and_who_takes_some_is_not(monkeypatch):
    assert closed(monkeypatch, False, 9000) == [b"answer", "close", "abort"]
    assert "abort" not in closed(monkeypatch, False, 9000, 8000, 7000)[:-1]


def test_each_turn_leaves_by_itself():
    async def main() -> list[Any]:
        wire = Wire()
        cork = Cork(wire, asyncio.get_running_loop(), lambda: False)
        for data in (b"one", b"two"):
            cork.write(data)
            await asyncio.sleep(0)
        return wire.told

    assert asyncio.run(main()) == [b"one", b"two"]


def test_the_rest_is_the_transports_own():
    seen: list[Any] = []
    told(lambda cork: seen.append(cork.get_extra_info("peername")))
    assert seen == [("client", 1)]
    with pytest.raises(AttributeError):
        told(lambda cork: cork.no_such_thing)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_all_of_it_arrives_in_order(new_loop):
    """On real sockets, of both kinds of event loops, with more than their buffers take."""
    parts = [bytes([number]) * size for number, size in enumerate((1, 3_000_000, 0, 70_000, 5))]

    class Sender(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            cork = Cork(transport, asyncio.get_running_loop(), lambda: False)  # type: ignore[arg-type]
            for part in parts:
                cork.write(part)
            cork.close()

    async def main() -> bytes:
        server = await asyncio.get_running_loop().create_server(Sender, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        arrived = await reader.read()
        writer.close()
        server.close()
        return arrived

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(main()) == b"".join(parts)
