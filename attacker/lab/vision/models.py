"""The models that know a task: the victim, and the one that knows the proxy's classes."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attacker.lab.results import Estimate
from attacker.lab.vision.experiment import SourceTask, VisionExperiment
from attacker.lab.vision.images import ImageSet
from attacker.lab.vision.sgd import LabelledImages, predict, train
from shared import checkpoint
from shared.config import Frozen
from shared.corpora import Progress
from shared.metrics import bootstrap
from shared.networks import WideResNet
from shared.seeding import derive

KIND = "image_model"


class ModelRow(Frozen):
    """What a model knows of its own task."""

    task: SourceTask
    checkpoint: str
    classes: int
    training_images: int
    test_images: int
    accuracy: Estimate
    """On the test images; its interval is a bootstrap over them."""


@dataclass(frozen=True)
class TaskModel:
    """A trained model."""

    network: WideResNet
    row: ModelRow


@dataclass(frozen=True)
class Task:
    """The images of one task, split once for everything that is trained."""

    name: SourceTask
    images: ImageSet
    training: np.ndarray
    """Positions of the training images."""
    test: np.ndarray

    @classmethod
    def of(cls, name: SourceTask, images: ImageSet, experiment: VisionExperiment) -> "Task":
        """Return ``images``, split as ``experiment`` says."""
        return cls(name, images, *images.split(experiment.test_share, experiment.seed))

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.images.names)


def learn_task(
    task: Task,
    experiment: VisionExperiment,
    models: Path,
    *,
    device: torch.device | str = "cpu",
    progress: Progress,
) -> TaskModel:
    """Return the model of ``task``, trained unless ``models`` holds this very one.

    Raises:
        TrainingError: the loss is no longer finite, or the saved state is altered.
        CheckpointError: a finished model was altered.
    """
    inputs_sha256 = identity(_facts(task, experiment))
    folder = models / f"{task.name}-{inputs_sha256[:12]}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(experiment.seed, "vision", task.name, "weights"))
        network = experiment.network.build(task.n_classes)
    if (folder / checkpoint.CARD_NAME).exists():
        tensors, card = checkpoint.load(folder)
        network.load_state_dict(tensors)
        row = ModelRow(checkpoint=card["tensors_sha256"], **card["row"])
        return TaskModel(network.to(device).eval(), row)
    train(
        network,
        LabelledImages(task.images.pixels[task.training], task.images.labels[task.training]),
        experiment.recipe,
        seed=derive(experiment.seed, "vision", task.name, "fit"),
        folder=folder / "state",
        device=device,
        on_epoch=lambda epoch: progress(f"model of the {task.name}'s task", epoch.number, epoch.of),
    )
    figures = _score(task, network, device)
    card = {"kind": KIND, "row": figures, "labels": list(task.images.names)}
    card |= {"inputs_sha256": inputs_sha256, **_facts(task, experiment)}
    checkpoint_id = checkpoint.save(folder, network.state_dict(), card)
    shutil.rmtree(folder / "state", ignore_errors=True)
    return TaskModel(network, ModelRow(checkpoint=checkpoint_id, **figures))


def identity(facts: dict[str, Any]) -> str:
    """Return the sha256 of what a result depends on, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def recipe_facts(experiment: VisionExperiment) -> dict[str, Any]:
    """Return what of ``experiment`` every trained weight depends on."""
    return {
        "seed": experiment.seed,
        "test_share": experiment.test_share,
        "network": experiment.network.model_dump(mode="json"),
        "recipe": experiment.recipe.model_dump(mode="json"),
    }


def _facts(task: Task, experiment: VisionExperiment) -> dict[str, Any]:
    return {"task": task.name, "images": task.images.sha256, **recipe_facts(experiment)}


def _score(task: Task, network: WideResNet, device: torch.device | str) -> dict[str, Any]:
    answers = predict(network, task.images.pixels[task.test], device=device)
    right = answers.argmax(1) == task.images.labels[task.test]
    return {
        "task": task.name,
        "classes": task.n_classes,
        "training_images": len(task.training),
        "test_images": len(task.test),
        "accuracy": Estimate.of(bootstrap(right)).model_dump(mode="json"),
    }
