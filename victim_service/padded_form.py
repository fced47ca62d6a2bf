"""The form of a network for a GPU: a few batch shapes, warmed before the service is ready.

A batch is padded to the next of these shapes, so that neither the convolution library nor the
compiler meets a shape for the first time while somebody waits. Clips go through pinned memory and
are copied while the other lane computes. On a CPU the same code runs without pinning or streams.
"""

import contextlib
import queue
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from victim_service.cpu_form import fold_batch_norms, logits_and_embeddings

Array = npt.NDArray[np.float32]
Precision = Literal["fp32", "tf32", "bf16"]

_SMALLEST, _STEP = 8, 4


def shapes_up_to(most_clips: int) -> tuple[int, ...]:
    """Return the batch shapes to warm: 1, 8, 32, 128, ... and ``most_clips``, ascending."""
    shapes, size = [1], _SMALLEST
    while size < most_clips:
        shapes.append(size)
        size *= _STEP
    return (*shapes, most_clips) if most_clips > 1 else (1,)


class PaddedForm:
    """Answers (B, T) clips with (B, K + E): probabilities, and embeddings beside them.

    It may be called from several threads. ``lanes`` calls run side by side, each with its own
    memory and, on a GPU, its own stream.

    Raises:
        RuntimeError: the network cannot be compiled here.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        clip_samples: int,
        shapes: Sequence[int],
        *,
        precision: Precision = "fp32",
        compiled: bool = False,
        lanes: int = 1,
    ) -> None:
        fold_batch_norms(network)
        self.shapes = tuple(sorted(shapes))
        self._device = device
        self._clip_samples = clip_samples
        on_gpu = device.type == "cuda"
        if on_gpu:
            # cuDNN rounds to TF32 unless told otherwise, which fp32 must not mean.
            torch.backends.cudnn.allow_tf32 = precision != "fp32"
            torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"
        forward = _SideBySide(network.to(device), device.type, bf16=precision == "bf16")
        self._forward: Callable[[torch.Tensor], torch.Tensor] = (
            torch.compile(forward, dynamic=False) if compiled else forward
        )
        self._lanes: queue.SimpleQueue[_Lane] = queue.SimpleQueue()
        self._all_lanes = [
            _Lane(self.shapes[-1], clip_samples, device if on_gpu else None) for _ in range(lanes)
        ]
        for lane in self._all_lanes:
            self._lanes.put(lane)

    def warm_up(self) -> None:
        """Run every shape in every lane; compiling happens here, and may take minutes."""
        with torch.inference_mode():
            for lane in self._all_lanes:
                for shape in self.shapes:
                    lane.run(self._forward, self._device, shape)

    def __call__(self, clips: Array) -> Array:
        """Return probabilities and embeddings (B, K + E) of ``clips`` (B, T)."""
        most = self.shapes[-1]
        if len(clips) > most:
            parts = [self(clips[start : start + most]) for start in range(0, len(clips), most)]
            return np.concatenate(parts)
        shape = next(size for size in self.shapes if size >= len(clips))
        lane = self._lanes.get()
        try:
            lane.load(clips, shape)
            with torch.inference_mode():
                return lane.run(self._forward, self._device, shape)[: len(clips)].copy()
        finally:
            self._lanes.put(lane)


class _Lane:
    """Host memory for one call, and a stream where the device has streams."""

    def __init__(self, most_clips: int, clip_samples: int, gpu: torch.device | None) -> None:
        self._clips = torch.zeros(most_clips, clip_samples, pin_memory=gpu is not None)
        self._answer: torch.Tensor | None = None
        self._gpu = gpu
        self._stream = None if gpu is None else torch.cuda.Stream(gpu)  # type: ignore[no-untyped-call]

    def load(self, clips: Array, shape: int) -> None:
        """Put ``clips`` into the lane's memory, padded with silence to ``shape``."""
        self._clips[: len(clips)].copy_(torch.from_numpy(clips))
        self._clips[len(clips) : shape].zero_()

    def run(
        self, forward: Callable[[torch.Tensor], torch.Tensor], device: torch.device, shape: int
    ) -> Array:
        """Return the rows (shape, K + E) of what was loaded; valid until the next call."""
        with contextlib.nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
            answer = forward(self._clips[:shape].to(device, non_blocking=True))
            if self._answer is None:
                self._answer = torch.empty(
                    len(self._clips), answer.shape[1], pin_memory=self._gpu is not None
                )
            self._answer[:shape].copy_(answer, non_blocking=True)
        if self._stream is not None:
            self._stream.synchronize()
        rows: Array = self._answer[:shape].numpy()
        return rows


class _SideBySide(nn.Module):
    """A network with its softmax, which is always taken in float32."""

    def __init__(self, network: nn.Module, device_type: str, *, bf16: bool) -> None:
        super().__init__()
        self._network = network
        self._device_type = device_type
        self._bf16 = bf16

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Return probabilities and embeddings (B, K + E) of ``clips`` (B, T)."""
        with torch.autocast(self._device_type, torch.bfloat16, enabled=self._bf16):
            logits, embeddings = logits_and_embeddings(self._network, clips)
        return torch.cat((logits.float().softmax(dim=1), embeddings.float()), dim=1)
