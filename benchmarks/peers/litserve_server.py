"""LitServe with dynamic batching: ``python -m benchmarks.peers.litserve_server --help``."""

from typing import Annotated

import litserve
import numpy as np
import numpy.typing as npt
from fastapi import Depends, Request
from fastapi.responses import Response

from benchmarks.peers.arguments import Arguments, read
from benchmarks.peers.network import Network

_REQUESTS = 32
_WAIT_S = 0.002


async def _whole_body(request: Request) -> bytes:
    return await request.body()


class Classify(litserve.LitAPI):
    """Raw int16 in, raw float32 out."""

    def __init__(self, arguments: Arguments) -> None:
        super().__init__(max_batch_size=_REQUESTS, batch_timeout=_WAIT_S, api_path="/classify")
        self._arguments = arguments

    def setup(self, device: str) -> None:
        """Load the network, in the worker."""
        told = self._arguments
        self.network = Network(told.checkpoint, told.threads, tuned=told.tuned)

    def decode_request(
        self, request: Annotated[bytes, Depends(_whole_body)]
    ) -> npt.NDArray[np.int16]:
        """Return the clips of one request."""
        return self.network.decode(request)

    def batch(self, inputs: list[npt.NDArray[np.int16]]) -> list[npt.NDArray[np.int16]]:
        """Leave the requests apart: they may differ in length."""
        return inputs

    def predict(self, x: list[npt.NDArray[np.int16]]) -> list[npt.NDArray[np.float32]]:
        """Answer a batch of requests."""
        return self.network.answer_all(x)

    def encode_response(self, output: npt.NDArray[np.float32]) -> Response:
        """Return the bytes of one answer."""
        return Response(output.tobytes(), media_type="application/octet-stream")


def main(arguments: Arguments) -> None:
    """Serve until SIGTERM."""
    server = litserve.LitServer(
        Classify(arguments),
        accelerator="cpu",
        devices=1,
        workers_per_device=arguments.workers,
        fast_queue="fast-queue" in arguments.options,
    )
    server.run(
        host="127.0.0.1",
        port=arguments.port,
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main(read())
