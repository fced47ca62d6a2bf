"""One surrogate: given its first layers, taught the victim's answers, and scored."""

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError

from attacker.lab.vision.experiment import Cell, SourceTask, VisionExperiment
from attacker.lab.vision.models import Task, TaskModel, identity, recipe_facts
from attacker.lab.vision.sgd import LabelledImages, predict, train
from shared import metrics
from shared.checkpoint import write_atomically
from shared.config import Frozen
from shared.corpora import Progress
from shared.networks import WideResNet, copy_first_layers
from shared.seeding import derive


class CellRow(Frozen):
    """What one surrogate became; a file of its own on disk."""

    cell: Cell
    layers: tuple[str, ...]
    """Names of the layers that it was given."""
    accuracy: float
    """Share of the victim's test images that it classifies rightly."""
    fidelity: float
    """Share of them on which it agrees with the victim."""
    kl_nats: float
    """Mean divergence of its probabilities from the victim's on them."""
    training_images: int
    """Images of the proxy's task that the victim answered for it."""
    train_loss: float
    """Mean cross-entropy with the victim's answers in the last epoch, in nats."""
    duration_s: float
    """Time of its epochs."""
    inputs_sha256: str
    """Identity of everything that it depends on."""


@dataclass(frozen=True)
class Bench:
    """What all surrogates of a control share."""

    experiment: VisionExperiment
    victim_task: Task
    proxy_task: Task
    models: dict[SourceTask, TaskModel]
    """The victim, and the other models that give first layers."""
    out: Path
    device: torch.device | str

    @property
    def victim(self) -> TaskModel:
        """The model that is extracted."""
        return self.models["victim"]

    @cached_property
    def transfer_set(self) -> LabelledImages:
        """The proxy's training images with the victim's soft answers."""
        pixels = self.proxy_task.images.pixels[self.proxy_task.training]
        return LabelledImages(pixels, predict(self.victim.network, pixels, device=self.device))

    @cached_property
    def test_answers(self) -> np.ndarray:
        """The victim's probabilities (N, K) of its own test images."""
        pixels = self.victim_task.images.pixels[self.victim_task.test]
        return predict(self.victim.network, pixels, device=self.device)

    def inputs_sha256(self, cell: Cell) -> str:
        """Return the identity of everything that ``cell`` depends on."""
        source = None if cell.source == "none" else self.models[cell.source].row.checkpoint
        return identity(
            {
                "cell": cell.model_dump(mode="json"),
                "source": source,
                "victim": self.victim.row.checkpoint,
                "proxy_images": self.proxy_task.images.sha256,
                "test_images": self.victim_task.images.sha256,
                **recipe_facts(self.experiment),
            }
        )

    def row_path(self, cell: Cell) -> Path:
        """Return where the row of ``cell`` is kept: another one for other inputs."""
        return self.out / "cells" / f"{cell.name}-{self.inputs_sha256(cell)[:12]}.json"


def read_row(bench: Bench, cell: Cell) -> CellRow | None:
    """Return the row of ``cell`` where it is finished."""
    try:
        row = CellRow.model_validate_json(bench.row_path(cell).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return row if row.inputs_sha256 == bench.inputs_sha256(cell) else None


def fill(bench: Bench, cell: Cell, progress: Progress) -> CellRow:
    """Return the row of ``cell``; its surrogate is trained unless the row is on disk.

    Raises:
        TrainingError: the loss is no longer finite, or the saved state is altered.
    """
    done = read_row(bench, cell)
    if done is not None:
        return done
    network, layers = start_surrogate(bench, cell)
    path, seed = bench.row_path(cell), bench.experiment.seed
    state = bench.out / "states" / path.stem
    epochs = train(
        network,
        bench.transfer_set,
        bench.experiment.recipe,
        seed=derive(seed, "vision", "surrogate", cell.seed, "fit"),
        folder=state,
        device=bench.device,
        on_epoch=lambda epoch: progress(cell.name, epoch.number, epoch.of),
    )
    row = CellRow(
        cell=cell,
        layers=layers,
        **score(bench, network),
        training_images=len(bench.transfer_set),
        train_loss=epochs[-1].train_loss,
        duration_s=sum(epoch.duration_s for epoch in epochs),
        inputs_sha256=bench.inputs_sha256(cell),
    )
    write_atomically(path, (row.model_dump_json(indent=2) + "\n").encode())
    shutil.rmtree(state, ignore_errors=True)
    return row


def start_surrogate(bench: Bench, cell: Cell) -> tuple[WideResNet, tuple[str, ...]]:
    """Return an untrained surrogate and the names of the layers that it was given.

    Its other weights depend on the seed of the cell alone, so that cells of one seed differ in what
    they were given and in nothing else.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(bench.experiment.seed, "vision", "surrogate", cell.seed))
        network = bench.experiment.network.build(bench.victim_task.n_classes)
    if cell.source == "none":
        return network, ()
    tensors = bench.models[cell.source].network.state_dict()
    return network, copy_first_layers(network, tensors, cell.first_layers)


def score(bench: Bench, network: WideResNet) -> dict[str, float]:
    """Return accuracy, fidelity and divergence of ``network`` on the victim's test images."""
    task = bench.victim_task
    answers = predict(network, task.images.pixels[task.test], device=bench.device)
    labels = answers.argmax(1)
    return {
        "accuracy": metrics.accuracy(labels, task.images.labels[task.test]),
        "fidelity": metrics.fidelity(labels, bench.test_answers.argmax(1)),
        "kl_nats": float(metrics.kl(bench.test_answers, answers).mean()),
    }
