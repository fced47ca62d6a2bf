import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from shared.ahead import Ahead


def running() -> int:
    return sum(thread.name == "ahead" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert running() == 0


def test_all_items_come_in_order_from_another_thread() -> None:
    makers = set()

    def items() -> Iterator[int]:
        for number in range(50):
            makers.add(threading.current_thread().name)
            yield number

    with Ahead(items()) as taken:
        assert list(taken) == list(range(50))
        assert list(taken) == []
    assert makers == {"ahead"}


def test_it_works_ahead_and_no_further_than_asked() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in itertools.count():
            made.append(number)
            yield number

    with Ahead(items(), depth=3) as taken:
        wait_until(lambda: len(made) == 3)
        time.sleep(0.05)
        assert made == [0, 1, 2]
        assert next(taken) == 0
        wait_until(lambda: len(made) == 4)


def test_an_error_comes_where_its_item_would_have_come() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("the third")

    with Ahead(items()) as taken:
        time.sleep(0.05)  # the error is long there by then
        assert [next(taken), next(taken)] == [1, 2]
        with pytest.raises(ValueError, match="the third"):
            next(taken)


def test_whoever_leaves_early_ends_the_thread() -> None:
    with Ahead(iter(range(1000)), depth=2) as taken:
        assert next(taken) == 0
        assert running() == 1
    assert running() == 0


def test_an_error_in_the_block_ends_the_thread() -> None:
    def use() -> None:
        with Ahead(iter(range(1000)), depth=2) as taken:
            raise KeyError(next(taken))

    with pytest.raises(KeyError):
        use()
    assert running() == 0


def test_the_thread_works_in_the_context_it_is_given() -> None:
    inside: list[str] = []

    @contextmanager
    def context() -> Iterator[None]:
        inside.append(threading.current_thread().name)
        yield
        inside.append("left")

    with Ahead(iter([1]), context=context()) as taken:
        assert list(taken) == [1]
    assert inside == ["ahead", "left"]


def test_it_computes_on_one_torch_thread_and_leaves_those_of_others() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with Ahead(iter(lambda: torch.get_num_threads(), None)) as taken:
            assert next(taken) == 1
            assert torch.get_num_threads() == 2
            others: list[int] = []
            thread = threading.Thread(target=lambda: others.append(torch.get_num_threads()))
            thread.start()
            thread.join()
            assert others == [2]
    finally:
        torch.set_num_threads(before)


def wait_until(done: object) -> None:
    deadline = time.monotonic() + 10
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.001)
