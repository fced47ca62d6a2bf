"""Trains an image classifier by SGD with momentum and a step schedule; resumable.

``shared.training.fit`` trains by Adam and keeps the epoch that did best on held-out clips. The
recipe of the vision control has neither: its weights are those of the last epoch.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from shared.balance import batches_of
from shared.config import Frozen
from shared.seeding import derive, numpy_stream
from shared.training_state import STATE_NAME, TrainingError, read_state, write_state

SAVE_EVERY_S = 60.0
"""Least time between two saved states: a kill loses as much, and at most one epoch more. Saving
after each epoch would cost a small network more than its training."""


class SgdRecipe(Frozen):
    """How an image network is trained; the defaults are the published recipe.

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", appendix
    A.3.1: bare SGD (no Nesterov step), weight decay on every parameter, no augmentation.
    """

    epochs: int = Field(default=200, ge=1)
    batch_size: int = Field(default=128, ge=2)
    learning_rate: float = Field(default=0.1, gt=0)
    """Lost in the paper, and so our own choice: 0.1 is what "Wide Residual Networks" begins with
    where it lowers the rate after 60 and 120 epochs."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    drop_after_epochs: tuple[int, ...] = (60, 120)
    """Epochs after which the learning rate is multiplied by ``drop_factor``."""
    drop_factor: float = Field(default=0.2, gt=0, le=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    """``bf16`` computes in bfloat16 what autocast allows, and keeps float32 weights."""

    @model_validator(mode="after")
    def _drops_happen(self) -> Self:
        drops = list(self.drop_after_epochs)
        if drops != sorted(set(drops)) or any(not 1 <= drop < self.epochs for drop in drops):
            raise ValueError(
                f"drop_after_epochs {drops} must ascend within the {self.epochs} epochs. Move "
                "them, or write [] for a constant rate"
            )
        return self

    def rate_of(self, epoch: int) -> float:
        """Return the learning rate of ``epoch``, the first of which is 1."""
        drops = sum(epoch > drop for drop in self.drop_after_epochs)
        return self.learning_rate * self.drop_factor**drops


@dataclass(frozen=True)
class LabelledImages:
    """Images to train on."""

    pixels: np.ndarray
    """(N, S, S, 3) uint8."""
    targets: np.ndarray
    """Labels (N,) int64, or probabilities (N, K) float32."""

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class SgdEpoch:
    """What one epoch showed."""

    number: int
    of: int
    train_loss: float
    learning_rate: float
    duration_s: float


def train(
    model: nn.Module,
    images: LabelledImages,
    recipe: SgdRecipe,
    *,
    seed: int,
    folder: Path,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[SgdEpoch], None] | None = None,
) -> tuple[SgdEpoch, ...]:
    """Train ``model`` in place for all epochs of ``recipe``; the last epoch's weights stay.

    The state is saved in ``folder`` now and then, and one that is found there is continued: a
    killed training ends with the very weights of one that was not, on the same device and thread
    count. Whoever keeps the weights may delete the folder.

    Raises:
        TrainingError: there are too few images, the loss is no longer finite, or the saved state
            is altered or of another training.
    """
    if len(images) < 2:
        raise TrainingError(f"{len(images)} images are too few to train on. Add images.")
    loop = _Loop(model.to(device), images, recipe, seed, torch.device(device))
    path = folder / STATE_NAME
    loop.resume(path)
    saved_at_s = time.monotonic()
    while len(loop.epochs) < recipe.epochs:
        epoch = loop.run_epoch()
        if time.monotonic() - saved_at_s >= SAVE_EVERY_S:
            loop.save(path)
            saved_at_s = time.monotonic()
        if on_epoch is not None:
            on_epoch(epoch)
    model.eval()
    return tuple(loop.epochs)


def predict(
    model: nn.Module,
    pixels: np.ndarray,
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Return the probabilities (N, K), float32, of images (N, S, S, 3) uint8."""
    model.to(device).eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(pixels), batch_size):
            part = torch.from_numpy(pixels[start : start + batch_size]).to(device)
            parts.append(model(_as_floats(part)).softmax(1).cpu())
    return torch.cat(parts).numpy()


class _Loop:
    """The state of one training: the network, its optimiser, the epochs so far."""

    def __init__(
        self,
        model: nn.Module,
        images: LabelledImages,
        recipe: SgdRecipe,
        seed: int,
        device: torch.device,
    ) -> None:
        self.model, self.recipe, self.seed, self.device = model, recipe, seed, device
        self.pixels = torch.from_numpy(images.pixels).to(device)  # uint8: 3 kB an image of 32 px
        self.targets = torch.from_numpy(images.targets).to(device)
        self.optimiser = torch.optim.SGD(
            model.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        self.epochs: list[SgdEpoch] = []

    def run_epoch(self) -> SgdEpoch:
        started, number = time.perf_counter(), len(self.epochs) + 1
        self.model.train()
        rate = self.recipe.rate_of(number)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        total = torch.zeros((), device=self.device)
        order = numpy_stream(self.seed, "order", number).permutation(len(self.pixels))
        for position, indices in enumerate(batches_of(order, self.recipe.batch_size)):
            torch.manual_seed(derive(self.seed, "dropout", number, position))
            total += self._step(torch.from_numpy(indices).to(self.device)) * len(indices)
        loss = float(total) / len(order)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is not finite in epoch {number}. Lower recipe.learning_rate (now "
                f"{self.recipe.learning_rate:g})."
            )
        duration_s = time.perf_counter() - started
        self.epochs.append(SgdEpoch(number, self.recipe.epochs, loss, rate, duration_s))
        return self.epochs[-1]

    def save(self, path: Path) -> None:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            buffer = self.optimiser.state[parameter].get("momentum_buffer")
            if buffer is not None:
                tensors[f"momentum.{name}"] = buffer
        state = {
            "identity": self._identity(),
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        write_state(path, state, plain)

    def resume(self, path: Path) -> None:
        if not path.exists():
            return
        state, tensors = read_state(path)
        if state["identity"] != self._identity():
            raise TrainingError(
                f"{path} was saved by another training. Delete it, or use another --out."
            )
        names = self.model.state_dict()
        self.model.load_state_dict({name: tensors[f"model.{name}"] for name in names})
        for name, parameter in self.model.named_parameters():
            buffer = tensors.get(f"momentum.{name}")
            if buffer is not None:
                self.optimiser.state[parameter]["momentum_buffer"] = _like(buffer, parameter)
        self.epochs = [SgdEpoch(**epoch) for epoch in state["epochs"]]

    def _step(self, indices: torch.Tensor) -> torch.Tensor:
        self.optimiser.zero_grad(set_to_none=True)
        half = self.recipe.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            logits = self.model(_as_floats(self.pixels[indices]))
        loss = F.cross_entropy(logits.float(), self.targets[indices])
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.detach()

    def _identity(self) -> dict[str, Any]:
        shapes = {name: list(value.shape) for name, value in self.model.state_dict().items()}
        recipe, images = self.recipe.model_dump(mode="json"), len(self.pixels)
        return {"shapes": shapes, "recipe": recipe, "seed": self.seed, "images": images}


def _as_floats(pixels: torch.Tensor) -> torch.Tensor:
    """Return (B, S, S, 3) uint8 as (B, 3, S, S) in [0, 1], in the channels-last layout.

    No mean is taken off and no scale is fitted to a data set: the surrogate must see a proxy image
    exactly as the victim saw it.
    """
    return pixels.permute(0, 3, 1, 2).float().div_(255.0)


def _like(tensor: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """Return ``tensor`` on the device and in the memory layout of ``parameter``."""
    return torch.empty_like(parameter).copy_(tensor)
