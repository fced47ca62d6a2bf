"""A checkpoint, made ready to answer: (B, T) samples to (B, K) probabilities and embeddings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from shared import checkpoint
from shared.networks import NetworkSpec
from shared.runtime import available_processors, choose_device
from victim_service.cpu_form import CpuForm
from victim_service.padded_form import PaddedForm, Precision, shapes_up_to

CARD_KIND = "victim"

_CPU_BATCH_CLIPS, _GPU_BATCH_CLIPS = 32, 512
_CPU_WARM_CALLS = 3
"""The first calls watch what comes, the next one makes the form for it; then it is quick."""
_GPU_WORKERS = 2
"""One copies clips while the other one computes."""


@dataclass(frozen=True)
class VictimCard:
    """What the service needs to know of its model."""

    checkpoint_id: str
    labels: list[str]
    sample_rate_hz: int
    clip_samples: int


class Predictor:
    """The network of a checkpoint folder; ``predict`` may be called from several threads.

    ``workers`` and ``batch_clips`` default to what suits the device: one thread a processor and
    batches of 32 on a CPU, two threads and batches of 512 on a GPU. A ``compiled`` network is one
    for a GPU; on a CPU it is there for tests, and needs a C++ compiler.

    Raises:
        CheckpointError: the folder is not a whole, unaltered checkpoint of a victim.
        ValueError: the device is not there, or does not have that precision.
    """

    def __init__(
        self,
        folder: Path,
        device: str = "auto",
        workers: int | None = None,
        *,
        batch_clips: int | None = None,
        precision: Precision = "fp32",
        compiled: bool = False,
    ) -> None:
        tensors, card = checkpoint.load(folder)
        self.card = _read_card(folder, card)
        self.device = choose_device(device)
        on_cpu = self.device.type == "cpu"
        if on_cpu and precision != "fp32":
            raise ValueError(f"precision {precision} needs a GPU. Use fp32, or another device.")
        network = _build(folder, card, tensors, len(self.card.labels))
        self.workers = workers or (available_processors() if on_cpu else _GPU_WORKERS)
        self.batch_clips = batch_clips or (_CPU_BATCH_CLIPS if on_cpu else _GPU_BATCH_CLIPS)
        self._form: CpuForm | PaddedForm
        if on_cpu and not compiled:
            threads = max(1, available_processors() // self.workers)
            self._form = CpuForm(network, threads, self.card.clip_samples)
        else:
            self._form = PaddedForm(
                network,
                self.device,
                self.card.clip_samples,
                shapes_up_to(self.batch_clips),
                precision=precision,
                compiled=compiled,
                lanes=self.workers,
            )

    def predict(self, clips: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return rows (B, K + E) for ``clips`` (B, T), float32 in [-1, 1].

        Each holds the K probabilities and, beside them, the speaker embedding; E is 0 for a network
        that has none.
        """
        return self._form(clips)

    def warm_up(self) -> None:
        """Run the shapes that will be met, so that the first query is not the slowest.

        Raises:
            ValueError: the network cannot be compiled on this machine.
        """
        if isinstance(self._form, CpuForm):
            for size in (1, self.batch_clips):
                for _ in range(_CPU_WARM_CALLS):
                    self.predict(np.zeros((size, self.card.clip_samples), dtype=np.float32))
            return
        try:
            self._form.warm_up()
        except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(
                f"the network does not run on {self.device}: {reason}. Serve it without "
                "VICTIM_COMPILE_MODEL, with smaller VICTIM_MICRO_BATCH_CLIPS, or on another device."
            ) from error


def _read_card(folder: Path, card: dict[str, Any]) -> VictimCard:
    labels, rate, samples = (
        card.get(name) for name in ("labels", "sample_rate_hz", "clip_samples")
    )
    if card.get("kind") != CARD_KIND or not (labels and rate and samples):
        raise checkpoint.CheckpointError(
            f"{folder}: this is a checkpoint of kind {card.get('kind')!r}, not of a victim. Name a "
            "folder that `earshot-victim train` made."
        )
    return VictimCard(str(card["tensors_sha256"]), list(labels), int(rate), int(samples))


def _build(
    folder: Path, card: dict[str, Any], tensors: dict[str, torch.Tensor], n_classes: int
) -> nn.Module:
    spec_reader: TypeAdapter[NetworkSpec] = TypeAdapter(NetworkSpec)
    try:
        network = spec_reader.validate_python(card.get("network")).build(n_classes)
        network.load_state_dict(tensors)
    except (ValidationError, RuntimeError) as error:
        raise checkpoint.CheckpointError(
            f"{folder}: the card's network does not fit the tensors. Train the victim again."
        ) from error
    return network.eval().requires_grad_(False)
