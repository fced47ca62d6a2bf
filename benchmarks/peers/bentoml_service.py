"""A BentoML service with adaptive batching; ``bentoml_server`` starts it.

The body is read by an input description of our own, because BentoML's own ones take arrays as JSON
or as multipart forms, either of which would cost it far more.
"""

import os
from pathlib import Path
from typing import Any, Self

import bentoml
import numpy as np
import numpy.typing as npt
from _bentoml_sdk.io_models import IORootModel
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.network import Network

_CLIPS = 256
_PATIENCE_MS = 60_000


class RawClips(IORootModel[Any]):
    """A body of raw int16, as clips (B, T)."""

    __root_input__ = True

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Self:
        """Read the body."""
        samples = int(os.environ["PEER_SAMPLES"])
        clips = np.frombuffer(await request.body(), dtype=np.int16).reshape(-1, samples)
        return cls.model_construct(root=clips)


class RawAnswer(IORootModel[Any]):
    """Probabilities (B, K) as raw float32."""

    @classmethod
    async def to_http_response(cls, obj: npt.NDArray[np.float32], serde: object) -> Response:
        """Write the body."""
        return Response(obj.tobytes(), media_type="application/octet-stream")


@bentoml.service(
    workers=int(os.environ["PEER_WORKERS"]),
    threads=1,
    traffic={"timeout": 60},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Classify:
    """Raw int16 in, raw float32 out."""

    def __init__(self) -> None:
        folder = Path(os.environ["PEER_CHECKPOINT"])
        self.network = Network(
            folder, int(os.environ["PEER_THREADS"]), tuned="PEER_TUNED" in os.environ
        )

    @bentoml.api(
        route="/classify",
        batchable=True,
        max_batch_size=_CLIPS,
        max_latency_ms=_PATIENCE_MS,
        input_spec=RawClips,
        output_spec=RawAnswer,
    )
    def classify(self, clips: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        """Answer a batch."""
        return self.network.answer(clips)
