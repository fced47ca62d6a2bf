"""Trains a source model: a network on a labelled corpus, whose first layers a surrogate may use."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from shared import checkpoint
from shared.config import Frozen
from shared.corpora import CorpusSpec, Progress
from shared.corpora.part import StoreClips
from shared.corpora.split import split_by_speaker
from shared.corpora.store import ClipStore
from shared.networks import NetworkSpec
from shared.seeding import derive
from shared.training import STATE_NAME, Epoch, Recipe, fit

KIND = "source_model"
_FRACTIONS = (0.8, 0.2, 0.0)
"""Nobody measures a source model: it needs no test part."""


class SourceTask(Frozen):
    """What a source model learns: the YAML file of ``earshot-attacker train-model``."""

    corpus: CorpusSpec
    """Its speakers, or whatever its folders stand for, are the labels."""
    sample_rate_hz: int = Field(ge=1000)
    clip_samples: int = Field(ge=256)
    network: NetworkSpec
    recipe: Recipe
    seed: int = Field(default=0, ge=0)


def train_source_model(
    task: SourceTask,
    folder: Path,
    cache: Path,
    *,
    device: torch.device | str = "cpu",
    on_corpus: Progress | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> dict[str, Any]:
    """Train the model of ``task`` into ``folder`` and return its card; a killed one goes on.

    Raises:
        CorpusError, TrainingError: there is too little to train on.
    """
    corpus = task.corpus.build(cache, on_corpus)
    store = ClipStore.open(corpus, task.sample_rate_hz, cache, on_corpus)
    names = sorted({clip.speaker for clip in store.clips})
    number = {name: label for label, name in enumerate(names)}
    labels = np.array([number[clip.speaker] for clip in store.clips], dtype=np.int64)
    split = split_by_speaker(store.clips, task.seed, _FRACTIONS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(task.seed, "source", "weights"))
        model = task.network.build(len(names))
    result = fit(
        model,
        StoreClips(store, np.array(split.train), labels, task.clip_samples),
        StoreClips(store, np.array(split.validation), labels, task.clip_samples),
        task.recipe,
        seed=derive(task.seed, "source", "fit"),
        folder=folder / "state",
        device=device,
        on_epoch=on_epoch,
    )
    card = {
        "kind": KIND,
        "labels": names,
        "corpus": task.corpus.model_dump(mode="json"),
        "corpus_manifest_sha256": store.manifest_sha256,
        "sample_rate_hz": task.sample_rate_hz,
        "clip_samples": task.clip_samples,
        "network": task.network.model_dump(mode="json"),
        "recipe": task.recipe.model_dump(mode="json"),
        "seed": task.seed,
        "validation_accuracy": result.best.validation_accuracy,
        "epochs": len(result.epochs),
        "best_epoch": result.best_epoch,
    }
    checkpoint.save(folder, model.state_dict(), card)
    (folder / "state" / STATE_NAME).unlink(missing_ok=True)
    return checkpoint.load_card(folder)
