"""How the steps of a training run on the device at hand: precision, compilation, transfers."""

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from shared.augmentation import Changes
from shared.recipe import Recipe

COMPILE_FROM_STEPS = 3_000
"""Steps from which ``compile: auto`` compiles: fewer would not win back the half minute it takes.
Our own choice."""


class Batch(NamedTuple):
    """Clips (B, T), their targets, and the random changes that are still to be made."""

    clips: torch.Tensor
    targets: torch.Tensor
    changes: Changes = Changes()


@dataclass(frozen=True)
class Acceleration:
    """What a recipe's settings mean on one device."""

    device: torch.device
    bfloat16: bool
    compiled: bool

    @classmethod
    def choose(cls, recipe: Recipe, device: torch.device, steps: int) -> "Acceleration":
        """Return what ``recipe`` means for a training of ``steps`` steps on ``device``."""
        cuda = device.type == "cuda"
        bfloat16, compiled = recipe.precision == "bfloat16", recipe.compile == "always"
        if recipe.precision == "auto":
            bfloat16 = _multiplies_bfloat16(device)
        if recipe.compile == "auto":
            compiled = cuda and steps >= COMPILE_FROM_STEPS and _can_compile()
        return cls(device, bfloat16, compiled)

    def forward_of(self, model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return what computes the logits of a training step; the weights stay those of ``model``.

        The last batch of an epoch has another size than the others, and is compiled apart: for
        sizes left open the code would be slower.
        """
        plain: Callable[[torch.Tensor], torch.Tensor] = model
        forward = torch.compile(model, dynamic=False) if self.compiled else plain
        if not self.bfloat16:
            return forward

        def in_bfloat16(clips: torch.Tensor) -> torch.Tensor:
            with torch.autocast(self.device.type, torch.bfloat16):
                logits: torch.Tensor = forward(clips)
            return logits

        return in_bfloat16

    def ready(self, batch: Batch) -> Batch:
        """Return a CPU batch as the training thread should get it.

        For the CPU its changes are made already, beside the training; for CUDA it lies in memory
        from which the device fetches it by itself, and the device will make them.
        """
        clips, targets, changes = batch
        if self.device.type != "cuda":
            return Batch(changes.apply(clips), targets)
        return Batch(
            clips.pin_memory(), targets.pin_memory(), changes.each(torch.Tensor.pin_memory)
        )

    def moved(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the clips and targets of a ready batch on the device, all changes made.

        Nothing here waits for the device.
        """

        def move(part: torch.Tensor) -> torch.Tensor:
            return part.to(self.device, non_blocking=True)

        return batch.changes.each(move).apply(move(batch.clips)), move(batch.targets)

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Hold, in the thread that makes batches, what keeps it apart from the training.

        On CUDA its work gets a queue of its own: a clip that is made there must not wait for the
        steps that were queued before it.
        """
        if self.device.type != "cuda":
            yield
            return
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.default_stream(self.device))  # weights may be on their way
        with torch.cuda.stream(stream):
            yield


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; emulated, it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def _can_compile() -> bool:
    """Whether what torch.compile needs for CUDA is there: Triton, and a C compiler for it."""
    compiler = any(shutil.which(name) for name in ("cc", "gcc", "clang"))
    return compiler and importlib.util.find_spec("triton") is not None
