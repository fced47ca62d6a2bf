"""A thread that makes things beside the one that uses them."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

import torch

T = TypeVar("T")


class Ahead(Generic[T]):
    """Iterates over what an iterator yields, in its order, made a few items ahead by a thread.

    Use it as a context manager: leaving the block ends the thread, whether or not all was taken. An
    error of the iterator is raised where its item would have come. The thread computes with one
    torch thread of its own, so as not to crowd out those of the user.

    Args:
        items: what to make; it is touched by the thread alone.
        depth: how many items may lie ready.
        context: entered by the thread around all its work.
    """

    def __init__(
        self,
        items: Iterator[T],
        depth: int = 4,
        context: AbstractContextManager[object] | None = None,
    ) -> None:
        self._items, self._context = items, context or nullcontext()
        self._room = threading.Semaphore(depth)
        self._ready: deque[T] = deque()
        self._made = threading.Semaphore(0)
        self._error: BaseException | None = None
        self._stopped = False
        self._tuned = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ahead", daemon=True)

    def __enter__(self) -> Iterator[T]:
        threads = torch.get_num_threads()
        self._thread.start()
        try:
            self._tuned.wait()
        except BaseException:
            self.__exit__()
            raise
        finally:
            torch.set_num_threads(threads)  # the worker's wish has become that of all new threads
        return self._taken()

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._room.release()
        self._thread.join()

    def _taken(self) -> Iterator[T]:
        while True:
            self._made.acquire()
            if not self._ready:
                break
            item = self._ready.popleft()
            self._room.release()
            yield item
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            torch.get_num_threads()  # else the first operation would undo the next line
            torch.set_num_threads(1)
            self._tuned.set()
            with self._context:
                self._make()
        except BaseException as error:
            self._error = error  # raised in the thread that takes
        finally:
            self._tuned.set()
            self._made.release()

    def _make(self) -> None:
        while True:
            self._room.acquire()
            if self._stopped:
                return
            try:
                item = next(self._items)
            except StopIteration:
                return
            self._ready.append(item)
            self._made.release()
