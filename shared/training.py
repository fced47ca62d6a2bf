"""The one fit loop, used by victim and surrogate.

Everything random in it comes from streams named by (seed, epoch, step), so a run that was killed
and resumed ends with the very weights of one that was not, on the same device and thread count.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from shared.acceleration import Acceleration, Batch
from shared.ahead import Ahead
from shared.augmentation import Changes, Stream, shift_clips
from shared.balance import balanced_order, batches_of
from shared.clip_source import ArrayClips, ClipSource
from shared.recipe import Recipe, learning_rate_at
from shared.seeding import derive, numpy_stream
from shared.soft_labels import classification_loss
from shared.training_state import STATE_NAME, TrainingError, read_state, write_state
from shared.weight_average import WeightAverage, Weights, copy_weights

__all__ = [
    "STATE_NAME",
    "ArrayClips",
    "ClipSource",
    "Epoch",
    "FitResult",
    "Recipe",
    "TrainingError",
    "fit",
    "learning_rate_at",
    "predict",
    "shift_clips",
]


@dataclass(frozen=True)
class Epoch:
    """What one epoch showed."""

    number: int
    of: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    """Share of validation clips whose most probable label is that of the target."""
    learning_rate: float
    clips_per_s: float
    best: bool


@dataclass(frozen=True)
class FitResult:
    """How a fit ended; the model holds the weights of ``best_epoch``."""

    epochs: tuple[Epoch, ...]
    best_epoch: int
    stopped_early: bool

    @property
    def best(self) -> Epoch:
        """The epoch whose weights were kept."""
        return self.epochs[self.best_epoch - 1]


def fit(
    model: nn.Module,
    train: ClipSource,
    validation: ClipSource,
    recipe: Recipe,
    *,
    seed: int,
    folder: Path | None = None,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> FitResult:
    """Train ``model`` in place and leave it with the weights that did best on ``validation``.

    A thread asks ``train`` for the batches, a few steps ahead; it has ended when this returns. With
    a ``folder``, the whole state is saved there after every epoch, a state found there is
    continued, and TensorBoard curves are written. ``on_step`` gets (step, steps in all).

    Raises:
        TrainingError: there are too few clips, the loss is no longer finite, or the saved state is
            altered, or of another network or recipe.
    """
    if len(train) < 2 or len(validation) < 1:
        raise TrainingError(
            f"{len(train)} training and {len(validation)} validation clips are too few to train "
            "on. Use more clips: a larger budget, a looser threshold or another corpus."
        )
    loop = _Loop(model.to(device), train, recipe, seed, torch.device(device))
    if folder is not None:
        loop.resume(folder / STATE_NAME)
    curves = _Curves(folder)
    while not loop.finished:
        started = time.perf_counter()
        train_loss = loop.run_epoch(on_step)
        duration_s = time.perf_counter() - started
        epoch = loop.close_epoch(train_loss, validation, len(train) / duration_s)
        if folder is not None:
            loop.save(folder / STATE_NAME)
        curves.add(epoch)
        if on_epoch is not None:
            on_epoch(epoch)
    curves.close()
    model.load_state_dict(loop.best_weights)
    model.eval()
    stopped_early = len(loop.epochs) < recipe.epochs
    return FitResult(tuple(loop.epochs), loop.best_epoch, stopped_early)


def predict(
    model: nn.Module,
    clips: ClipSource | np.ndarray,
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Return the probabilities (N, K), float32, of all ``clips`` (evaluation crops)."""
    source = ArrayClips(clips, np.zeros(len(clips))) if isinstance(clips, np.ndarray) else clips
    parts = [logits.softmax(1) for logits, _ in _forward(model, source, batch_size, device)]
    return torch.cat(parts).cpu().numpy()


class _Loop:
    """The state of one fit: the network, its optimiser, the best weights, the epochs so far."""

    def __init__(
        self,
        model: nn.Module,
        train: ClipSource,
        recipe: Recipe,
        seed: int,
        device: torch.device,
    ) -> None:
        self.model, self.train, self.recipe = model, train, recipe
        self.seed, self.device = seed, device
        self.optimiser = torch.optim.Adam(
            model.parameters(),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=device.type == "cuda",
        )
        decay = recipe.weight_average
        self.average = WeightAverage(model, decay) if decay else None
        self.epochs: list[Epoch] = []
        self.best_epoch = 0
        self.best_weights = copy_weights(model.state_dict())
        sizes = [len(part) for part in batches_of(np.arange(len(train)), recipe.batch_size)]
        self.steps_per_epoch = len(sizes)
        self.steps = self.steps_per_epoch * recipe.epochs
        self.acceleration = Acceleration.choose(recipe, device, self.steps)
        self.forward = self.acceleration.forward_of(model)

    @property
    def finished(self) -> bool:
        done = len(self.epochs)
        return done >= self.recipe.epochs or done - self.best_epoch >= self.recipe.patience > 0

    def run_epoch(self, on_step: Callable[[int, int], None] | None) -> float:
        number = len(self.epochs) + 1
        self.model.train()
        first = (number - 1) * self.steps_per_epoch
        total = torch.zeros((), device=self.device)
        with Ahead(self._batches(number), context=self.acceleration.beside()) as batches:
            for position, batch in enumerate(batches):
                torch.manual_seed(derive(self.seed, "dropout", number, position))
                total += self._step(batch, first + position)
                if on_step is not None:
                    on_step(first + position + 1, self.steps)
        mean_loss = float(total) / self.steps_per_epoch
        if not math.isfinite(mean_loss):
            raise TrainingError(
                f"the loss is not finite in epoch {number}. Lower the recipe's learning_rate "
                f"(now {self.recipe.learning_rate:g}) and train afresh."
            )
        return mean_loss

    def close_epoch(self, train_loss: float, validation: ClipSource, clips_per_s: float) -> Epoch:
        with self._judged_weights():
            loss, accuracy = _score(self.model, validation, self.recipe, self.device)
            number, score = len(self.epochs) + 1, (accuracy, -loss)
            best = self.best_epoch == 0 or score > _score_of(self.epochs[self.best_epoch - 1])
            if best:
                self.best_epoch = number
                self.best_weights = copy_weights(self.model.state_dict())
        rate = self.optimiser.param_groups[0]["lr"]
        epoch = Epoch(
            number, self.recipe.epochs, train_loss, loss, accuracy, rate, clips_per_s, best
        )
        self.epochs.append(epoch)
        return epoch

    def save(self, path: Path) -> None:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best_weights.items()}
        if self.average is not None:
            tensors |= {f"average.{k}": v for k, v in self.average.weights.items()}
        names = [name for name, _ in self.model.named_parameters()]
        for index, slots in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{names[index]}.{slot}": v for slot, v in slots.items()}
        state = {
            "identity": self._identity(),
            "best_epoch": self.best_epoch,
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }
        plain = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        write_state(path, state, plain)

    def resume(self, path: Path) -> None:
        if not path.exists():
            return
        state, tensors = read_state(path)
        if state["identity"] != self._identity():
            raise TrainingError(
                f"{path} was saved by a training with another network, recipe, seed or data. "
                "Train into another folder, or afresh."
            )
        self.model.load_state_dict(_under(tensors, "model."))
        self.best_weights = self._on_device(_under(tensors, "best."))
        if self.average is not None:
            self.average.weights = self._on_device(_under(tensors, "average."))
        self.best_epoch = state["best_epoch"]
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        slots: dict[int, dict[str, torch.Tensor]] = {}
        for index, (name, _) in enumerate(self.model.named_parameters()):
            slots[index] = _under(tensors, f"adam.{name}.")
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": slots, "param_groups": groups})

    def _batches(self, number: int) -> Iterator[Batch]:
        """Yield the batches of epoch ``number``; a thread of its own makes them ahead."""
        for position, indices in enumerate(batches_of(self._order(number), self.recipe.batch_size)):
            stream = self._streams(number, position)
            clips, targets = self.train.batch(indices, stream("crops"))
            changes = Changes.draw(self.recipe, len(indices), stream)
            yield self.acceleration.ready(Batch(clips, targets, changes))

    def _streams(self, number: int, position: int) -> Stream:
        """Return what gives the streams of one step, each always the same one."""
        return cache(lambda purpose: numpy_stream(self.seed, purpose, number, position))

    def _order(self, number: int) -> np.ndarray:
        rng = numpy_stream(self.seed, "order", number)
        if self.recipe.balance:
            return balanced_order(self.train.hard_labels(), self.recipe.balance, rng)
        return rng.permutation(len(self.train))

    def _step(self, batch: Batch, step: int) -> torch.Tensor:
        clips, targets = self.acceleration.moved(batch)
        rate = learning_rate_at(self.recipe, step, self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss = classification_loss(self.forward(clips), targets, self.recipe.temperature)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        if self.average is not None:
            self.average.update(self.model, step)
        return loss.detach()

    def _judged_weights(self) -> AbstractContextManager[None]:
        """Return a block in which the model has the weights that are judged and kept."""
        return nullcontext() if self.average is None else self.average.lent_to(self.model)

    def _on_device(self, weights: Weights) -> Weights:
        return {name: value.to(self.device) for name, value in weights.items()}

    def _identity(self) -> dict[str, Any]:
        shapes = {k: list(v.shape) for k, v in self.model.state_dict().items()}
        recipe = self.recipe.model_dump(mode="json")
        return {"shapes": shapes, "recipe": recipe, "seed": self.seed, "clips": len(self.train)}


class _Curves:
    """TensorBoard curves beside the saved state, or nothing where there is no folder."""

    def __init__(self, folder: Path | None) -> None:
        self.writer: Any = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(folder / "tensorboard"))

    def add(self, epoch: Epoch) -> None:
        if self.writer is not None:
            for name in ("train_loss", "validation_loss", "validation_accuracy", "learning_rate"):
                self.writer.add_scalar(name, getattr(epoch, name), epoch.number)
            self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def _forward(
    model: nn.Module, source: ClipSource, batch_size: int, device: torch.device | str
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(source), batch_size):
            indices = np.arange(start, min(start + batch_size, len(source)))
            clips, targets = source.batch(indices, None)
            parts.append((model(clips.to(device)), targets.to(device)))
    return parts


def _score(
    model: nn.Module, source: ClipSource, recipe: Recipe, device: torch.device
) -> tuple[float, float]:
    loss, right = 0.0, 0
    for logits, targets in _forward(model, source, recipe.batch_size * 4, device):
        loss += float(classification_loss(logits, targets, recipe.temperature, "sum"))
        labels = targets.argmax(1) if targets.ndim == 2 else targets
        right += int((logits.argmax(1) == labels).sum())
    return loss / len(source), right / len(source)


def _score_of(epoch: Epoch) -> tuple[float, float]:
    return (epoch.validation_accuracy, -epoch.validation_loss)


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
