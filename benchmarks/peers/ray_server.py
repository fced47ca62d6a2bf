"""Ray Serve with dynamic batching: ``python -m benchmarks.peers.ray_server --help``."""

import asyncio
import signal
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.arguments import Arguments, read
from benchmarks.peers.network import Network

_REQUESTS = 32
_WAIT_S = 0.002
_OBJECT_STORE_BYTES = 128 * 2**20


class Classify:
    """Raw int16 in, raw float32 out."""

    def __init__(self, checkpoint: str, threads: int, tuned: bool) -> None:
        self._network = Network(Path(checkpoint), threads, tuned=tuned)

    @serve.batch(max_batch_size=_REQUESTS, batch_wait_timeout_s=_WAIT_S)
    async def answer(self, requests: list[npt.NDArray[np.int16]]) -> list[npt.NDArray[np.float32]]:
        """Answer a batch of requests, off the event loop."""
        return await asyncio.to_thread(self._network.answer_all, requests)

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        clips = self._network.decode(await request.body())
        answer = await self.answer(clips)
        return Response(answer.tobytes(), media_type="application/octet-stream")


def main(arguments: Arguments) -> None:
    """Serve until SIGTERM."""
    ray.init(
        address="local",
        num_cpus=arguments.workers + 1,
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=str(arguments.scratch),
    )
    serve.start(http_options={"host": "127.0.0.1", "port": arguments.port})
    deployment = serve.deployment(
        num_replicas=arguments.workers,
        max_ongoing_requests=256,
        ray_actor_options={"num_cpus": 1, "runtime_env": {"env_vars": {
            "OMP_NUM_THREADS": str(arguments.threads)}}},
    )(Classify)  # fmt: skip
    bound = deployment.bind(str(arguments.checkpoint), arguments.threads, arguments.tuned)
    serve.run(bound, route_prefix="/classify")
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    told.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(read())
