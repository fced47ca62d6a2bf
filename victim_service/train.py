"""Recipe YAML -> corpus -> network -> checkpoint, card and evaluation bundle.

A run that was killed goes on where it stopped, and a finished one is used again.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import Field

from shared import checkpoint
from shared.audio import to_int16
from shared.config import Frozen
from shared.corpora import CorpusError, CorpusSpec, Progress
from shared.corpora.part import StoreClips
from shared.corpora.split import MIN_CLIPS, Split, split_by_speaker
from shared.corpora.store import ClipStore
from shared.metrics import Interval, bootstrap
from shared.networks import NetworkSpec
from shared.runtime import choose_device
from shared.seeding import derive
from shared.training import STATE_NAME, Epoch, FitResult, Recipe, fit, predict
from victim_service.bundle import BUNDLE_FOLDER, BUNDLE_NAME, CLASS_COUNTS_NAME, write_bundle
from victim_service.errors import StartError
from victim_service.model import CARD_KIND

TRAINING_FOLDER = "training"


class VictimRecipe(Frozen):
    """Everything that decides what a victim becomes."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    seed: int = Field(default=0, ge=0)
    corpus: CorpusSpec
    sample_rate_hz: int = Field(ge=1000, le=48_000)
    clip_samples: int = Field(ge=256, le=480_000)
    network: NetworkSpec
    recipe: Recipe

    def with_root(self, root: Path) -> "VictimRecipe":
        """Return the recipe with its corpus in the folder ``root``.

        Raises:
            StartError: this kind of corpus is made, not found in a folder.
        """
        if not hasattr(self.corpus, "root"):
            raise StartError(
                f"--corpus-root: a corpus of kind {self.corpus.kind!r} has no folder. Leave the "
                "option away, or use a recipe of another corpus."
            )
        return self.model_copy(
            update={"corpus": self.corpus.model_copy(update={"root": str(root)})}
        )


class Reporter(Protocol):
    """Is told how the training goes."""

    def corpus_progress(self, what: str, done: int, total: int) -> None:
        """Tell how far a corpus is made or decoded."""
        ...

    def corpus_ready(self, data: "Data") -> None:
        """Tell what will be trained on."""
        ...

    def step(self, done: int, total: int) -> None:
        """Tell that ``done`` of ``total`` steps are done."""
        ...

    def epoch(self, epoch: Epoch) -> None:
        """Tell what an epoch showed."""
        ...


@dataclass(frozen=True)
class Data:
    """The usable clips of a corpus, split."""

    store: ClipStore
    names: tuple[str, ...]
    """K speakers, sorted; a label is an index into them."""
    labels: np.ndarray
    """(N,) int64, label of each clip of the store; -1 for speakers that are left out."""
    split: Split
    left_out: tuple[str, ...]
    """Speakers with fewer than ``MIN_CLIPS`` clips."""

    def part(self, indices: Sequence[int], samples: int) -> "StoreClips":
        """Return the clips at ``indices``, cut to ``samples``."""
        return StoreClips(self.store, np.asarray(indices), self.labels, samples)


@dataclass(frozen=True)
class Trained:
    """How a training ended."""

    folder: Path
    checkpoint_id: str
    test_accuracy: Interval
    reused: bool
    """Whether a finished checkpoint of the same recipe and audio was there already."""


def train(
    recipe: VictimRecipe,
    out: Path,
    cache: Path,
    reporter: Reporter,
    *,
    fresh: bool = False,
    device: str = "auto",
) -> Trained:
    """Train ``recipe`` into the checkpoint folder ``out``, unless that is done already.

    ``fresh`` starts anew whatever is there. The test split is looked at once, at the end.

    Raises:
        CorpusError: the corpus cannot be used.
        TrainingError: the training cannot go on.
        StartError: the device is not there.
    """
    try:
        chosen = choose_device(device)
    except ValueError as error:
        raise StartError(str(error)) from error
    if fresh:
        shutil.rmtree(out / TRAINING_FOLDER, ignore_errors=True)
    data = load_data(recipe, cache, reporter.corpus_progress)
    reporter.corpus_ready(data)
    identity = identity_of(recipe, data)
    if not fresh and (finished := _finished(out, identity)) is not None:
        return finished
    torch.manual_seed(derive(recipe.seed, "weights"))
    network = recipe.network.build(len(data.names))
    place = out / TRAINING_FOLDER / identity[:16]
    result = fit(
        network,
        data.part(data.split.train, recipe.clip_samples),
        data.part(data.split.validation, recipe.clip_samples),
        recipe.recipe,
        seed=derive(recipe.seed, "fit"),
        folder=place,
        device=chosen,
        on_epoch=reporter.epoch,
        on_step=reporter.step,
    )
    test = data.part(data.split.test, recipe.clip_samples)
    predicted = predict(network, test, device=chosen).argmax(axis=1)
    hits = predicted == data.labels[test.indices]
    accuracy = bootstrap(hits, seed=derive(recipe.seed, "bootstrap"))
    card = _card(recipe, data, identity, result, accuracy)
    checkpoint_id = checkpoint.save(out, network.state_dict(), card)
    _write_bundle(out, recipe, data, checkpoint_id)
    (place / STATE_NAME).unlink(missing_ok=True)
    return Trained(out, checkpoint_id, accuracy, reused=False)


def load_data(recipe: VictimRecipe, cache: Path, progress: Progress | None = None) -> Data:
    """Build, decode and split the corpus of ``recipe``.

    Raises:
        CorpusError: there is no audio, or fewer than two speakers have enough of it.
    """
    corpus = recipe.corpus.build(cache, progress)
    store = ClipStore.open(corpus, recipe.sample_rate_hz, cache, progress)
    counts = Counter(clip.speaker for clip in store.clips)
    names = tuple(sorted(name for name, count in counts.items() if count >= MIN_CLIPS))
    if len(names) < 2:
        raise CorpusError(
            f"corpus {corpus.name!r}: {len(names)} speakers have {MIN_CLIPS} or more usable clips, "
            "and a classifier needs two. Add clips or speakers."
        )
    number = {name: label for label, name in enumerate(names)}
    labels = np.array([number.get(clip.speaker, -1) for clip in store.clips], dtype=np.int64)
    kept = np.flatnonzero(labels >= 0)
    parts = split_by_speaker([store.clips[index] for index in kept], recipe.seed)
    split = Split(
        *(
            tuple(int(kept[index]) for index in part)
            for part in (parts.train, parts.validation, parts.test)
        )
    )
    return Data(store, names, labels, split, tuple(sorted(set(counts) - set(names))))


def identity_of(recipe: VictimRecipe, data: Data) -> str:
    """Return a hash of the recipe and of the audio itself, wherever that lies."""
    plain = recipe.model_dump(mode="json", exclude={"corpus"})
    text = json.dumps([plain, data.store.manifest_sha256], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _finished(out: Path, identity: str) -> Trained | None:
    try:
        _, card = checkpoint.load(out)
        bundle = json.loads((out / BUNDLE_FOLDER / BUNDLE_NAME).read_text(encoding="utf-8"))
    except (checkpoint.CheckpointError, OSError, ValueError):
        return None
    checkpoint_id = card["tensors_sha256"]
    whole = bundle.get("checkpoint") == checkpoint_id and (out / CLASS_COUNTS_NAME).exists()
    if card.get("identity") != identity or not whole:
        return None
    accuracy = Interval(**card["metrics"]["test_accuracy"])
    return Trained(out, checkpoint_id, accuracy, reused=True)


def _card(
    recipe: VictimRecipe, data: Data, identity: str, result: FitResult, accuracy: Interval
) -> dict[str, Any]:
    split = data.split
    return {
        "kind": CARD_KIND,
        "name": recipe.name,
        "identity": identity,
        "network": recipe.network.model_dump(mode="json"),
        "labels": list(data.names),
        "sample_rate_hz": recipe.sample_rate_hz,
        "clip_samples": recipe.clip_samples,
        "seed": recipe.seed,
        "recipe": recipe.recipe.model_dump(mode="json"),
        "corpus": {
            **recipe.corpus.model_dump(mode="json"),
            "manifest_sha256": data.store.manifest_sha256,
            "clips": len(data.store.clips),
            "skipped_files": len(data.store.skipped),
            "speakers_left_out": list(data.left_out),
            "train_clips": len(split.train),
            "validation_clips": len(split.validation),
            "test_clips": len(split.test),
        },
        "metrics": {
            "test_accuracy": asdict(accuracy),
            "validation_accuracy": result.best.validation_accuracy,
            "epochs": len(result.epochs),
            "best_epoch": result.best_epoch,
            "stopped_early": result.stopped_early,
        },
    }


def _write_bundle(out: Path, recipe: VictimRecipe, data: Data, checkpoint_id: str) -> None:
    test = np.asarray(data.split.test)
    counts = np.bincount(data.labels[list(data.split.train)], minlength=len(data.names))
    write_bundle(
        out,
        clips=to_int16(data.store.fixed_crops(test, recipe.clip_samples)),
        labels=data.labels[test],
        names=list(data.names),
        class_counts=counts.tolist(),
        sample_rate_hz=recipe.sample_rate_hz,
        checkpoint_id=checkpoint_id,
        manifest=[data.store.manifest[index] for index in test],
    )
