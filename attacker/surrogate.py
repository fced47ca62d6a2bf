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

from attacker.adaptive import AdaptionContext
from attacker.errors import ExperimentError
from attacker.experiment import InitialLayers, SurrogateSpec
from attacker.granted import granted_path
from attacker.journal import Rows
from attacker.known_defences import KnownDefence
from attacker.oracle import as_rows
from attacker.transfer_set import Clips, TransferSet
from shared import checkpoint
from shared.clip_source import most_probable
from shared.contract import ModelCard
from shared.networks import SpeakerNetwork, copy_first_layers
from shared.seeding import derive, numpy_stream
from shared.training import STATE_NAME, Epoch, fit

KIND = "surrogate"
FEWEST_CLIPS = 4
"""Kept clips below which no surrogate is trained."""

OnEpoch = Callable[[Epoch], None]


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
    known_defence: KnownDefence | None = None
    """What the experiment grants of the victim's defence."""

    @property
    def labels(self) -> str:
        """``soft`` or ``hard``; a victim that sells hard labels leaves no choice."""
        return "hard" if self.card.label_mode == "hard" else self.spec.trained_on

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
        if self.spec.answers is not None and self.spec.answers.needs_defence:
            known = self.known_defence
            facts["known_defence"] = None if known is None else known.model_dump(mode="json")
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
    groups = clips.source.group_of(inputs.rows.indices[kept])
    transfer = TransferSet(clips, inputs.rows.indices[kept], adapted_targets(inputs, groups))
    model = fresh_model(inputs)
    held_out, used = split_holdout(
        len(transfer), inputs.spec.holdout, inputs.seed, inputs.mark, groups
    )
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


def demand_answers(spec: SurrogateSpec, card: ModelCard) -> None:
    """See that what the victim sells can be adapted as ``spec`` says, before anything is bought.

    Raises:
        ExperimentError: the adaption needs answers that this victim does not sell.
    """
    if spec.answers is not None and card.label_mode not in spec.answers.takes:
        raise ExperimentError(
            f"surrogate.answers: {spec.answers.kind} takes {' or '.join(spec.answers.takes)} "
            f"answers, but the victim's label mode is {card.label_mode}. Use top1 or majority, "
            "which take any, or leave surrogate.answers out."
        )


def adapted_targets(inputs: MarkInputs, groups: np.ndarray | None) -> np.ndarray:
    """Return what a surrogate is trained on, of the kept clips: (N, K) float32 or (N,) int64.

    ``groups`` (N,) tells which kept clips are copies of one window, if any are.

    Raises:
        ExperimentError: the adaption lacks what it needs.
    """
    answers, spec = inputs.rows.answers[inputs.rows.kept], inputs.spec.answers
    if spec is None:
        return make_targets(answers, inputs.card, inputs.labels)
    demand_answers(inputs.spec, inputs.card)
    seed = derive(inputs.seed, "surrogate", "answers", spec.kind)
    adaption = spec.build(AdaptionContext(seed, groups, inputs.known_defence))
    rows = make_targets(answers, inputs.card, "soft")
    targets = adaption.adapt(as_rows(rows, len(inputs.card.labels)))
    return most_probable(targets) if inputs.labels == "hard" else targets


def make_targets(answers: np.ndarray, card: ModelCard, labels: str) -> np.ndarray:
    """Return what to train on: (N, K) float32 rows that sum to 1, or (N,) int64 labels.

    In top_k mode the probability that the victim withheld is spread evenly over the labels that it
    withheld: nothing is known of how it was shared.
    """
    if answers.ndim == 1 or labels == "hard":
        return most_probable(answers)
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


def split_holdout(
    count: int, share: float, seed: int, mark: int, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (held-out, training) positions, ascending, of ``count`` kept clips.

    Clips of one of ``groups`` (``count``,) stay together: a copy of a clip that was trained on says
    nothing new of a model.
    """
    if groups is not None and len(names := np.unique(groups)) > 1:
        apart, _ = split_holdout(len(names), share, seed, mark)
        chosen = np.isin(groups, names[apart])
        return np.flatnonzero(chosen), np.flatnonzero(~chosen)
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
    spec = inputs.spec.model_dump(mode="json")
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
        "initial_layers": spec["initial_layers"],
        **({"answers": spec["answers"]} if "answers" in spec else {}),
        "seed": inputs.seed,
    }


def _start(model: SpeakerNetwork, initial: InitialLayers | None) -> None:
    if initial is None:
        return
    tensors, _ = checkpoint.load(granted_path(initial.checkpoint))
    try:
        names = copy_first_layers(model, tensors, initial.count)
    except ValueError as error:
        raise ExperimentError(f"surrogate.initial_layers: {error}") from error
    if initial.frozen:
        model.freeze(names)


def _initial_sha256(initial: InitialLayers | None) -> str | None:
    if initial is None:
        return None
    card = checkpoint.load_card(granted_path(initial.checkpoint))
    return f"{card['card_sha256']}:{initial.count}"
