"""The schema of an experiment: what is asked, with what knowledge, and what is made of it."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, StringConstraints, model_validator

from attacker.adaptive import AnyAdaptionSpec
from attacker.dealing import Spread
from attacker.errors import ExperimentError, KnowledgeMissing
from attacker.granted import granted_path
from attacker.known_defences import DefenceKnowledge, KnownDefence
from attacker.samplers import SamplerSpec
from attacker.sources import SourceSpec
from attacker.sources.blinding import BlindingSpec
from attacker.sources.camouflage import CamouflageSpec
from attacker.sources.jitter import JitterSpec
from shared.config import Frozen, later, read_yaml, validate
from shared.contract import ModelCard
from shared.corpora import CorpusSpec
from shared.networks import NetworkSpec
from shared.training import Recipe

PROFILES: dict[str, tuple[int, int]] = {"desk": (4_000, 4_096), "paper": (16_000, 16_384)}
"""Sample rate (Hz) and samples of one clip of each profile."""

_MOST_CLIPS = 1_000_000_000
"""Of one label: more is no corpus, and their caps would be no integers of a machine."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class Knowledge(Frozen):
    """What the attack is granted beyond the URL, the key and the proxy corpus.

    The report prints it. What it does not grant is refused: ``class_counts`` and ``first_layers``
    have no other way into the attack.
    """

    architecture: bool = True
    """The surrogate's network is the victim's own (assumption A1)."""
    training_recipe: bool = True
    """The surrogate is trained as the victim was."""
    class_counts: str | None = None
    """Path of the victim's class_counts.json, where assumption A3 is granted."""
    first_layers: int = Field(default=0, ge=0)
    """How many of the victim's first layers are known, for ``surrogate.initial_layers``."""
    defence: DefenceKnowledge = False
    """Whether the attacker knows which defences the victim runs; or the defence itself, as in
    ``{kind: rounding, decimals: 2}``, for the adaptions that turn a known one back."""

    @property
    def known_defence(self) -> KnownDefence | None:
        """The victim's defence, where it is granted with its settings."""
        return None if isinstance(self.defence, bool) else self.defence


class QuerySettings(Frozen):
    """How clips are sent."""

    batch_clips: int = Field(default=64, ge=1, le=4096)
    """Clips of one request; a victim that takes fewer lowers it."""
    in_flight: int = Field(default=4, ge=1, le=64)
    """Requests that may wait for an answer at the same time."""
    accounts: int = later(1, ge=1, le=64)
    """n: the accounts of a Sybil, each with a key of its own. No account alone
    shows what all of them buy. Each buys an equal share of the budget."""
    spread: Spread = later("in_turn")
    """Which batch comes from which account: one after the other, or the first n-th of the budget
    from the first account, and so on."""


class CampaignSpec(Frozen):
    """One paid run: a source and a sampler, iterated as in Algorithm 1."""

    name: Name
    source: SourceSpec
    sampler: SamplerSpec
    iterations: int = Field(default=1, ge=1)
    """n: the budget is split evenly over the iterations, the last takes the rest. An iteration is
    planned when the one before has been observed, and none is where every cap is met."""


class InitialLayers(Frozen):
    """Starts the surrogate from another checkpoint's first layers."""

    checkpoint: str
    """Folder of the checkpoint; `~` and environment variables are expanded."""
    count: int = Field(ge=1)
    """How many layers, from the input on; the network's own names tell which these are."""
    frozen: bool = False
    """Whether they keep their weights and batch statistics; otherwise they are trained on."""


class SurrogateSpec(Frozen):
    """How a surrogate is trained at each budget mark, from scratch."""

    network: NetworkSpec
    recipe: Recipe = Recipe()
    labels: Literal["soft", "hard"] = "soft"
    """``soft``: cross-entropy with the released probabilities; ``hard``: with the label alone."""
    holdout: float = Field(default=0.1, gt=0, lt=1)
    """Share of the kept clips that chooses the model; the victim's test split never does."""
    initial_layers: InitialLayers | None = None
    answers: AnyAdaptionSpec | None = later(None)
    """What is made of the answers before training; by default they are taken as they are."""

    @property
    def trained_on(self) -> Literal["soft", "hard"]:
        """``labels``, unless ``answers`` leaves labels alone."""
        return "hard" if self.answers is not None and self.answers.gives_labels else self.labels

    @model_validator(mode="after")
    def _known_layers(self) -> Self:
        if self.initial_layers is not None:
            with torch.device("meta"):  # names alone: no weights are made
                layers = self.network.build(2).LAYERS
            if self.initial_layers.count > len(layers):
                raise ValueError(
                    f"initial_layers.count is {self.initial_layers.count}, but a "
                    f"{self.network.kind} has {len(layers)} layers ({', '.join(layers)})"
                )
        return self

    @model_validator(mode="after")
    def _temperature_of_probabilities(self) -> Self:
        if self.trained_on == "hard" and self.recipe.temperature != 1:
            raise ValueError(
                f"recipe.temperature is {self.recipe.temperature:g}, but labels are hard, and only "
                "probabilities have a temperature. Leave it out, or set labels to soft, and "
                "answers to what leaves probabilities"
            )
        return self


class Experiment(Frozen):
    """An experiment file."""

    name: Name
    seed: int = Field(default=0, ge=0)
    profile: Literal["desk", "paper"] | None = None
    """Refuses a victim of another audio size; null takes any."""
    knowledge: Knowledge = Knowledge()
    proxy: CorpusSpec
    query: QuerySettings = QuerySettings()
    budget: int = Field(ge=1)
    """Clips that each campaign may spend."""
    marks: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Numbers of queries at which a surrogate is trained; empty is the budget alone."""
    campaigns: tuple[CampaignSpec, ...] = Field(min_length=1)
    surrogate: SurrogateSpec

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [campaign.name for campaign in self.campaigns]
        if len(set(names)) != len(names):
            raise ValueError(f"campaign names must differ: {', '.join(names)}")
        if self.budget < self.query.batch_clips:
            raise ValueError(
                f"a budget of {self.budget} clips does not buy one batch of "
                f"{self.query.batch_clips}; raise budget, or lower query.batch_clips"
            )
        if self.budget < self.query.accounts:
            raise ValueError(
                f"{self.query.accounts} accounts cannot share a budget of {self.budget} clips; "
                "raise budget, or lower query.accounts"
            )
        if list(self.marks) != sorted(set(self.marks)):
            raise ValueError(f"marks must ascend without repeats: {list(self.marks)}")
        if self.marks and self.marks[-1] > self.budget:
            raise ValueError(f"mark {self.marks[-1]} lies beyond the budget of {self.budget}")
        for campaign in self.campaigns:
            if campaign.iterations > self.budget:
                raise ValueError(
                    f"campaign {campaign.name}: {campaign.iterations} iterations cannot share a "
                    f"budget of {self.budget}"
                )
            if campaign.sampler.kind == "dynamic_threshold" and not self.knowledge.class_counts:
                raise ValueError(
                    f"campaign {campaign.name}: dynamic_threshold needs the victim's class counts "
                    "(assumption A3); set knowledge.class_counts to the victim's "
                    "class_counts.json, or use static_threshold, which needs none"
                )
        layers = self.surrogate.initial_layers
        if layers is not None and layers.count > self.knowledge.first_layers:
            raise ValueError(
                f"surrogate.initial_layers.count is {layers.count}, but knowledge.first_layers "
                f"grants {self.knowledge.first_layers}"
            )
        self._demand_what_adaptions_need()
        return self

    def _demand_what_adaptions_need(self) -> None:
        answers = self.surrogate.answers
        if answers is None:
            return
        if answers.needs_defence and self.knowledge.known_defence is None:
            raise ValueError(
                f"surrogate.answers is {answers.kind}, which turns a known defence back, but "
                "knowledge.defence names none. Set it to the victim's, such as {kind: rounding, "
                "decimals: 2}, or use top1, which needs no knowledge"
            )
        for campaign in self.campaigns:
            if answers.needs_copies and not _sends_copies(campaign.source):
                raise ValueError(
                    f"campaign {campaign.name}: surrogate.answers is {answers.kind}, but "
                    f"{campaign.source.kind} sends no copies of a window. Use the source jitter, "
                    "or blinding with several copies, or leave surrogate.answers out"
                )

    @property
    def planned_marks(self) -> tuple[int, ...]:
        """Numbers of queries at which a surrogate is trained if the whole budget is spent."""
        return self.marks or (self.budget,)

    def marks_up_to(self, bought: int) -> tuple[int, ...]:
        """Return the marks to train at when ``bought`` clips were bought.

        Marks beyond that fall away; what was bought is itself a mark where the campaign ended
        before its last one.
        """
        marks = self.planned_marks
        reached = tuple(mark for mark in marks if mark <= bought)
        return reached if len(reached) == len(marks) or bought == 0 else _with(reached, bought)

    def demand_audio(self, card: ModelCard) -> None:
        """Refuse a victim whose audio is not of this experiment's profile.

        Raises:
            ExperimentError: the sizes differ.
        """
        if self.profile is None:
            return
        wanted = PROFILES[self.profile]
        if wanted != (card.sample_rate_hz, card.clip_samples):
            raise ExperimentError(
                f"profile {self.profile} means {wanted[1]} samples at {wanted[0]} Hz, but the "
                f"victim takes {card.clip_samples} at {card.sample_rate_hz} Hz. Name the victim's "
                "profile in the experiment, or leave `profile` out."
            )

    def granted_class_counts(self, labels: list[str]) -> np.ndarray | None:
        """Return the victim's training clips of each of its ``labels`` (K,), if granted.

        Raises:
            KnowledgeMissing: the file cannot be read or is of another victim.
        """
        if self.knowledge.class_counts is None:
            return None
        path = granted_path(self.knowledge.class_counts)
        advice = "Name the class_counts.json in the folder of the very victim that is attacked."
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            counts = dict(zip(data["labels"], data["counts"], strict=True))
            return np.array([_count(counts[label]) for label in labels], dtype=np.int64)
        except OSError as error:
            raise KnowledgeMissing(f"{path}: {error.strerror}. {advice}") from error
        except (ValueError, TypeError, OverflowError) as error:
            raise KnowledgeMissing(f"{path}: not a file of class counts. {advice}") from error
        except KeyError as error:
            raise KnowledgeMissing(f"{path}: no count for {error}. {advice}") from error


def load_experiment(
    path: Path,
    *,
    class_counts: Path | None = None,
    proxy_root: Path | None = None,
    usual_root: Path | None = None,
) -> Experiment:
    """Read an experiment; the options of the command line replace what the file says.

    ``proxy_root`` must fit; ``usual_root`` is for any proxy corpus that lies in a folder.

    Raises:
        ConfigError: the file does not fit the schema.
        ExperimentError: the proxy corpus of this experiment has no folder to replace.
    """
    data = read_yaml(path)
    if class_counts is not None and isinstance(data, dict):
        knowledge = data.get("knowledge") or {}
        data = {**data, "knowledge": {**knowledge, "class_counts": str(class_counts)}}
    experiment = validate(data, Experiment, origin=str(path))
    if proxy_root is not None and "root" not in type(experiment.proxy).model_fields:
        raise ExperimentError(
            f"--proxy-root: the proxy corpus of {path} is {experiment.proxy.kind!r}, which has "
            "no folder. Leave the option out, or use kind: speaker_tree."
        )
    root = proxy_root or usual_root
    if root is not None and "root" in type(experiment.proxy).model_fields:
        proxy = experiment.proxy.model_copy(update={"root": str(root)})
        experiment = experiment.model_copy(update={"proxy": proxy})
    return experiment


def _with(marks: tuple[int, ...], bought: int) -> tuple[int, ...]:
    return marks if bought in marks else (*marks, bought)


def _count(clips: Any) -> int:
    count = int(clips)
    if not 0 <= count <= _MOST_CLIPS:
        raise ValueError(f"{count} training clips of one label")
    return count


def _sends_copies(source: SourceSpec) -> bool:
    if isinstance(source, CamouflageSpec):
        source = source.source
    return isinstance(source, JitterSpec) or (
        isinstance(source, BlindingSpec) and source.copies > 1
    )
