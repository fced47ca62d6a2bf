"""The way to Redis: whatever waits while a round trip is under way shares the next one.

Two connections take turns. Each sends all calls that wait as one pipeline and reads the answers in
their order, so that Redis, which syncs its log once for all that it reads at once, gets quicker as
the load grows.

A call is never sent again behind its caller's back unless that changes nothing: when the
connection breaks before the answer came, a call that its maker declared ``repeatable`` is sent once
more. After any error a connection is opened anew, so that a Redis that comes back is used without a
restart.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import redis.asyncio
import structlog
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from victim_service.errors import Refusal
from victim_service.ledger.patience import unreachable, within
from victim_service.ledger.redis_scripts import BORN, Script

_log = structlog.get_logger("victim")

_LANES = 2
_GROUP = 256

Word = bytes | str | int | float
_Connection: TypeAlias = redis.asyncio.Connection


@dataclass(eq=False)
class Call:
    """A script that waits for its answer."""

    script: Script
    words: Sequence[Word]
    repeatable: bool
    """Send it once more when its connection breaks: twice is as once."""
    answer: "asyncio.Future[Any]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    sent: bool = False
    """Whether it may have reached Redis."""
    whole: bool = False
    """Send the script's text: Redis does not know its digest."""

    def fail(self, refusal: Refusal) -> None:
        """Tell the caller, if it still waits."""
        if not self.answer.done():
            self.answer.set_exception(refusal)


class Link:
    """Connections to one Redis, for one event loop."""

    def __init__(self, url: str, born: bytes, timeout_s: float) -> None:
        self._born = born
        self._timeout_s = timeout_s
        self._pool = redis.asyncio.ConnectionPool.from_url(
            url, protocol=2, socket_timeout=None, socket_connect_timeout=timeout_s, driver_info=None
        )
        self._waiting: deque[Call] = deque()
        self._arrived = asyncio.Event()
        self._trouble = ""
        self.loop = asyncio.get_running_loop()
        self._lanes = [self.loop.create_task(self._drive()) for _ in range(_LANES)]

    def submit(self, script: Script, words: Sequence[Word], *, repeatable: bool = True) -> Call:
        """Hand in a call; :meth:`wait` for it."""
        call = Call(script, words, repeatable)
        self._waiting.append(call)
        self._arrived.set()
        return call

    async def wait(self, call: Call) -> Any:
        """Return the answer.

        Raises:
            Refusal: ledger-unreachable, at the latest when the time is over.
        """
        return await within(call.answer, self._timeout_s)

    async def close(self) -> None:
        """Let go of the connections; calls under way are refused."""
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        for call in self._waiting:
            call.fail(unreachable("it is closed"))

    async def _drive(self) -> None:
        connection: _Connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            while True:
                await self._arrived.wait()
                group = [call for call in self._next_group() if not call.answer.done()]
                if group:
                    await self._exchange(connection, group)
        finally:
            await connection.disconnect(nowait=True)

    def _next_group(self) -> list[Call]:
        taken = min(_GROUP, len(self._waiting))
        group = [self._waiting.popleft() for _ in range(taken)]
        if not self._waiting:
            self._arrived.clear()
        return group

    async def _exchange(self, connection: _Connection, group: Sequence[Call]) -> None:
        unanswered = deque(group)
        trouble: str | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                if connection.is_connected and await _is_broken(connection):
                    await connection.disconnect(nowait=True)
                await connection.connect()  # type: ignore[no-untyped-call]
                # Connecting may have taken a while: who gave up meanwhile was told that nothing of
                # the call had left, and nothing shall.
                group = [call for call in group if not call.answer.done()]
                unanswered = deque(group)
                for call in group:
                    call.sent = True
                words = [self._words(call) for call in group]
                if words:
                    await connection.send_packed_command(connection.pack_commands(words))
                while unanswered:
                    told = await self._receive(connection, unanswered)
                    trouble = trouble or told  # trouble beats health, health beats silence
        except Exception as error:  # of Redis, the network, or the time that is over
            await connection.disconnect(nowait=True)
            trouble = f"{type(error).__name__}: {error}"
            self._lose(unanswered, repeat=not isinstance(error, (TimeoutError, RedisTimeoutError)))
        except asyncio.CancelledError:
            self._lose(unanswered, repeat=False)
            raise
        self._note(trouble)

    async def _receive(self, connection: _Connection, unanswered: deque[Call]) -> str | None:
        """Read the answer to the first call; return what went wrong, if it tells that."""
        call = unanswered[0]
        trouble: str | None = ""
        try:
            answer = await connection.read_response()
        except NoScriptError:  # it did not run
            trouble = None
            call.whole = True
            self._again(call)
        except ReadOnlyError:  # no longer a primary: the address may lead to another by now
            raise
        except ResponseError as error:
            trouble = str(error)
            call.fail(unreachable(trouble))
        else:
            if not call.answer.done():
                call.answer.set_result(answer)
        unanswered.popleft()
        return trouble

    def _words(self, call: Call) -> tuple[Word, ...]:
        head = ("EVAL", call.script.text) if call.whole else ("EVALSHA", call.script.sha1)
        return (*head, 1, BORN, self._born, *call.words)

    def _again(self, call: Call) -> None:
        self._waiting.append(call)
        self._arrived.set()

    def _lose(self, calls: Sequence[Call], *, repeat: bool) -> None:
        """Refuse calls that got no answer, or send those that may be repeated once more."""
        for call in calls:
            if repeat and call.repeatable and call.sent:
                call.repeatable = False
                self._again(call)
            else:
                call.fail(unreachable("no answer"))

    def _note(self, trouble: str | None) -> None:
        """Log trouble when it begins, changes and ends."""
        if trouble is None or trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            lost = trouble.startswith("LOST")
            advice = "Restore its data, or restart to begin a new ledger." if lost else None
            _log.warning("ledger failed", reason=trouble, lost=lost, advice=advice)
        else:
            _log.info("ledger answers again")


async def _is_broken(connection: _Connection) -> bool:
    """Tell whether the other side ended an idle connection, or speaks without being asked."""
    writer = connection._writer  # nothing public tells of a reset that nobody read
    return writer is None or writer.is_closing() or bool(await connection.can_read())
