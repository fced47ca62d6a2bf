"""An asynchronous world kept open for code that is not asynchronous."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

WorldT = TypeVar("WorldT")
ResultT = TypeVar("ResultT")


class OnLoop(Generic[WorldT]):
    """Holds an asynchronous context manager open on the loop of a thread of its own."""

    def __init__(self, manager: AbstractAsyncContextManager[WorldT]) -> None:
        self._manager = manager
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.world: WorldT

    def __enter__(self) -> Self:
        self._thread.start()
        self.world = self.run(self._manager.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.run(self._manager.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run a coroutine on the loop and return what it returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=60)
