"""Settings that hold for every test."""

import os
import signal
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from tests.support.redis_server import RedisServer

torch.set_num_threads(1)

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts its background jobs
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with a reason, what this machine cannot run."""
    no_gpu = pytest.mark.skip(reason="needs a CUDA device")
    no_speech = pytest.mark.skip(
        reason="set EARSHOT_DATA to the folder that holds asc/ and wakewords/"
    )
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(no_gpu)
        if item.get_closest_marker("speech") and not os.environ.get("EARSHOT_DATA"):
            item.add_marker(no_speech)


@pytest.fixture(autouse=True)
def _same_weights_whatever_ran_before() -> None:
    """Tests of a worker share torch's stream, and its threads, which decide the order of sums."""
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A durable Redis for whoever leaves it running; its data is everybody's."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Address of an empty database of a durable Redis."""
    return redis_server.fresh_url()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument: some audio headers hold the time, and workers must agree."""
    return argname if isinstance(val, bytes) else None
