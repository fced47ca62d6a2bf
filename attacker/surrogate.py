"""From the journal to surrogates: one at each budget mark, every one from scratch.

A surrogate sees what was bought up to its mark and nothing else: it starts from fresh weights and
fresh random streams, and the epoch that is kept is chosen on held-out clips of the transfer set.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from attacker.errors import ExperimentError
from attacker.experiment import InitialLayers, SurrogateSpec
from attacker.journal import Rows
from attacker.sources import Source
from shared import checkpoint
from shared.audio import from_int16, to_int16
from shared.contract import ModelCard
from shared.corpora import expanded
from shared.networks import SpeakerNetwork, copy_first_layers
from shared.seeding import derive, numpy_stream
from shared.training import STATE_NAME, Epoch, fit

KIND = "surrogate"
CACHE_BYTES = 2 * 1024**3
FEWEST_CLIPS = 4
"""Kept clips below which no surrogate is trained."""
_RENDER_CLIPS = 256

OnEpoch = Callable[[Epoch], None]


class Clips:
    """The clips of some queries, made again from their indices.

    They are kept as int16 in memory where they fit ``cache_bytes``, and otherwise made again
    whenever they are asked for.
    """

    def __init__(self, source: Source, indices: np.ndarray, cache_bytes: int = CACHE_BYTES) -> None:
        self.source = source
        samples = source.context.clip_samples
        self._row = {int(index): row for row, index in enumerate(indices)}
        self._cache: np.ndarray | None = None
        if 2 * samples * len(indices) <= cache_bytes:
            self._cache = np.empty((len(indices), samples), dtype=np.int16)
            for start in range(0, len(indices), _RENDER_CLIPS):
                part = indices[start : start + _RENDER_CLIPS]
                self._cache[start : start + len(part)] = to_int16(source.render(part))

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        """Return the clips (B, T) float32 of the queries ``indices`` (B,)."""
        if self._cache is None:
            return self.source.render(indices)
        return from_int16(self._cache[[self._row[int(index)] for index in indices]])


@dataclass(frozen=True)
class TransferSet:
    """Kept clips with the victim's answers; a ``shared.training.ClipSource``."""

    clips: Clips
    indices: np.ndarray
    """(N,) query indices."""
    targets: np.ndarray
    """(N, K) float32, or (N,) int64."""

    def __len__(self) -> int:
        return len(self.indices)

    def batch(
        self, indices: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return clips (B, T) and targets at ``indices``; a query has one crop only."""
        del rng
        clips = self.clips.fetch(self.indices[indices])
        return torch.from_numpy(clips), torch.from_numpy(self.targets[indices])

    def part(self, indices: np.ndarray) -> "TransferSet":
        """Return the clips at ``indices`` as a transfer set of their own."""
        return TransferSet(self.clips, self.indices[indices], self.targets[indices])


@dataclass(frozen=True)
class MarkInputs:
    """Everything that a surrogate depends on."""

    mark: int
    """Queries spent."""
    rows: Rows
    """The first ``mark`` bought clips."""
    identity: dict[str, Any]
    """Identity of the journal: victim, source and its material."""
    card: ModelCard
    spec: SurrogateSpec
    seed: int

    @property
    def labels(self) -> str:
        """``soft`` or ``hard``; a victim that sells hard labels leaves no choice."""
        return "hard" if self.card.label_mode == "hard" else self.spec.labels

    def sha256(self) -> str:
        """Return the identity of these inputs."""
        facts = {
            "mark": self.mark,
            "transfer": self.rows.transfer_sha256(),
            "journal": self.identity,
            "spec": self.spec.model_dump(mode="json"),
            "initial": _initial_sha256(self.spec.initial_layers),
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def is_trained(folder: Path, inputs: MarkInputs) -> bool:
    """Whether ``folder`` holds the whole surrogate of exactly these inputs."""
    try:
        _, card = checkpoint.load(folder)
    except checkpoint.CheckpointError:
        return False
    return bool(card.get("inputs_sha256") == inputs.sha256())


def train(
    inputs: MarkInputs,
    clips: Clips,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    on_epoch: OnEpoch | None = None,
) -> dict[str, Any]:
    """Train the surrogate of one mark into ``folder``; return its card.

    A training that was killed goes on from its last epoch, if its inputs are still the same.

    Raises:
        TrainingError: too little was kept to train on, or the loss is no longer finite.
        ExperimentError: the initial layers do not fit the network.
    """
    inputs_sha256 = inputs.sha256()
    kept = inputs.rows.kept
    targets = make_targets(inputs.rows.answers[kept], inputs.card, inputs.labels)
    transfer = TransferSet(clips, inputs.rows.indices[kept], targets)
    model = fresh_model(inputs)
    held_out, used = split_holdout(len(transfer), inputs.spec.holdout, inputs.seed, inputs.mark)
    state = folder / "state" / inputs_sha256[:16]
    result = fit(
        model,
        transfer.part(used),
        transfer.part(held_out),
        inputs.spec.recipe,
        seed=derive(inputs.seed, "surrogate", "fit", inputs.mark),
        folder=state,
        device=device,
        on_epoch=on_epoch,
    )
    card = {
        **_card(inputs, inputs_sha256),
        "training_clips": len(used),
        "holdout_clips": len(held_out),
        "holdout_accuracy": result.best.validation_accuracy,
        "holdout_loss": result.best.validation_loss,
        "epochs": len(result.epochs),
        "best_epoch": result.best_epoch,
        "stopped_early": result.stopped_early,
    }
    card["checkpoint"] = checkpoint.save(folder, model.state_dict(), card)
    (state / STATE_NAME).unlink(missing_ok=True)  # the curves stay, the optimiser goes
    return card


def fresh_model(inputs: MarkInputs) -> nn.Module:
    """Return an untrained network whose weights depend on the seed and the mark alone.

    Raises:
        ExperimentError: the initial layers do not fit the network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(inputs.seed, "surrogate", "weights", inputs.mark))
        model: SpeakerNetwork = inputs.spec.network.build(len(inputs.card.labels))
    _start(model, inputs.spec.initial_layers)
    return model


def demand_initial_layers(spec: SurrogateSpec, n_classes: int) -> None:
    """See that the initial layers of ``spec`` are there and fit, before anything is bought.

    Raises:
        CheckpointError: there is no such checkpoint.
        ExperimentError: the initial layers do not fit the network.
    """
    if spec.initial_layers is not None:
        with torch.random.fork_rng(devices=[]):
            _start(spec.network.build(n_classes), spec.initial_layers)


def make_targets(answers: np.ndarray, card: ModelCard, labels: str) -> np.ndarray:
    """Return what to train on: (N, K) float32 rows that sum to 1, or (N,) int64 labels.

    In top_k mode the probability that the victim withheld is spread evenly over the labels that it
    withheld: nothing is known of how it was shared.
    """
    if answers.ndim == 1:
        return answers.astype(np.int64)
    if labels == "hard":
        most_probable: np.ndarray = answers.argmax(axis=1).astype(np.int64)
        return most_probable
    targets = answers.astype(np.float32)
    k = targets.shape[1]
    if card.label_mode == "top_k" and card.top_k is not None and card.top_k < k:
        remainder = np.clip(1.0 - targets.sum(axis=1), 0.0, None)
        withheld = np.argsort(-targets, axis=1, kind="stable")[:, card.top_k :]
        share = np.repeat(remainder[:, None] / (k - card.top_k), k - card.top_k, axis=1)
        np.put_along_axis(targets, withheld, share.astype(np.float32), axis=1)
    total: np.ndarray = targets.sum(axis=1, keepdims=True)
    rows: np.ndarray = targets / total
    return rows


def split_holdout(count: int, share: float, seed: int, mark: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (held-out, training) positions, ascending, of ``count`` kept clips."""
    order = numpy_stream(seed, "surrogate", "holdout", mark).permutation(count)
    held_out = max(1, round(share * count))
    return np.sort(order[:held_out]), np.sort(order[held_out:])


def load_surrogate(folder: Path) -> tuple[SpeakerNetwork, dict[str, Any]]:
    """Return a trained surrogate, ready to predict, and its card.

    Raises:
        CheckpointError: it is missing, altered, or no surrogate.
    """
    tensors, card = checkpoint.load(folder)
    if card.get("kind") != KIND:
        raise checkpoint.CheckpointError(
            f"{folder}: not a surrogate. Name a folder under <campaign>/surrogates."
        )
    spec = SurrogateSpec.model_validate({"network": card["network"]})
    model: SpeakerNetwork = spec.network.build(len(card["labels"]))
    model.load_state_dict(tensors)
    model.eval()
    return model, card


def _card(inputs: MarkInputs, inputs_sha256: str) -> dict[str, Any]:
    rows, k = inputs.rows, len(inputs.card.labels)
    return {
        "kind": KIND,
        "mark": inputs.mark,
        "queries": len(rows.labels),
        "volume": int(rows.kept.sum()),
        "coverage": len(np.unique(rows.labels)) / k,
        "kept_coverage": len(np.unique(rows.labels[rows.kept])) / k,
        "transfer_sha256": rows.transfer_sha256(),
        "inputs_sha256": inputs_sha256,
        "victim_checkpoint": inputs.card.checkpoint,
        "labels": inputs.card.labels,
        "sample_rate_hz": inputs.card.sample_rate_hz,
        "clip_samples": inputs.card.clip_samples,
        "label_mode": inputs.card.label_mode,
        "trained_on": inputs.labels,
        "network": inputs.spec.network.model_dump(mode="json"),
        "recipe": inputs.spec.recipe.model_dump(mode="json"),
        "initial_layers": inputs.spec.model_dump(mode="json")["initial_layers"],
        "seed": inputs.seed,
    }


def _start(model: SpeakerNetwork, initial: InitialLayers | None) -> None:
    if initial is None:
        return
    tensors, _ = checkpoint.load(expanded(initial.checkpoint))
    try:
        names = copy_first_layers(model, tensors, initial.count)
    except ValueError as error:
        raise ExperimentError(f"surrogate.initial_layers: {error}") from error
    if initial.frozen:
        model.freeze(names)


def _initial_sha256(initial: InitialLayers | None) -> str | None:
    if initial is None:
        return None
    card = checkpoint.load_card(expanded(initial.checkpoint))
    return f"{card['card_sha256']}:{initial.count}"
