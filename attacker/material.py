"""From an experiment and a victim's card to the parts of its campaigns."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from attacker.campaign import CampaignSettings
from attacker.experiment import CampaignSpec, Experiment
from attacker.samplers import Sampler, SamplerContext
from attacker.sources import Source, SourceContext
from shared.contract import AccountStatus, ModelCard
from shared.corpora import Progress
from shared.corpora.store import ClipStore

DEFAULT_CACHE = Path("runs/cache")
_PLACES: Any = {"source": {"generator": True, "source": {"generator": True}}}
"""Where a generator lies on this machine, which is no part of what is bought."""


@dataclass(frozen=True)
class Material:
    """What the campaigns of an experiment are made of, for one victim.

    The proxy corpus is opened when a source first asks for it, and only once.
    """

    experiment: Experiment
    card: ModelCard
    cache: Path = DEFAULT_CACHE
    device: str = "cpu"
    on_corpus: Progress | None = None
    on_note: Callable[[str], None] = lambda text: None
    accounts: tuple[str, ...] = ()
    """Names of a Sybil's accounts, in the order of their keys; none of a single account."""

    @cached_property
    def store(self) -> ClipStore:
        """The decoded proxy corpus at the victim's sample rate.

        Raises:
            CorpusError: it has no audio, or one speaker only.
        """
        corpus = self.experiment.proxy.build(self.cache, self.on_corpus)
        store = ClipStore.open(corpus, self.card.sample_rate_hz, self.cache, self.on_corpus)
        for skipped in store.skipped:
            self.on_note(f"Skipped {skipped.path}: {skipped.reason}")
        if store.skipped:
            self.on_note(f"{len(store.skipped)} files of the proxy corpus were not usable.")
        return store

    def source(self, campaign: CampaignSpec) -> Source:
        """Return the campaign's source.

        Raises:
            SourceMismatch: it does not fit the victim's audio.
            CorpusError, CheckpointError: its material cannot be used.
        """
        context = SourceContext(
            sample_rate_hz=self.card.sample_rate_hz,
            clip_samples=self.card.clip_samples,
            seed=self.experiment.seed,
            open_proxy=lambda: self.store,
            device=self.device,
        )
        return campaign.source.build(context)

    def sampler(self, campaign: CampaignSpec) -> Sampler:
        """Return the campaign's sampler, at its beginning.

        Raises:
            KnowledgeMissing: it needs what the experiment does not grant.
        """
        return campaign.sampler.build(SamplerContext(len(self.card.labels), self.class_counts))

    @cached_property
    def class_counts(self) -> np.ndarray | None:
        """The victim's class counts (K,), where they are granted."""
        return self.experiment.granted_class_counts(self.card.labels)

    def settings(self, campaign: CampaignSpec, account: AccountStatus) -> CampaignSettings:
        """Return how the campaign spends; batches are no larger than victim and plan take."""
        query = self.experiment.query
        largest = [query.batch_clips, self.card.max_batch_clips]
        if account.burst is not None:
            largest.append(account.burst)
        if account.daily_budget is not None:
            largest.append(account.daily_budget // account.most_units_per_clip)
        return CampaignSettings(
            budget=self.experiment.budget,
            iterations=campaign.iterations,
            batch_clips=max(1, min(largest)),
            in_flight=query.in_flight,
            accounts=query.accounts,
            spread=query.spread,
        )

    def identity(self, campaign: CampaignSpec, source: Source, sampler: Sampler) -> dict[str, Any]:
        """Return what makes the campaign's journal its own: what is bought, of whom, from what."""
        card = self.card
        # A batch that is sent again must find the account that paid for it.
        sybil = {"accounts": list(self.accounts)} if self.accounts else {}
        return {
            **sybil,
            "campaign": campaign.model_dump(mode="json", exclude=_PLACES),
            "budget": self.experiment.budget,
            "seed": self.experiment.seed,
            "material": source.material,
            "caps": None if sampler.caps is None else sampler.caps.tolist(),
            "victim": card.checkpoint,
            "label_mode": card.label_mode,
            "top_k": card.top_k,
            "n_classes": len(card.labels),
            "sample_rate_hz": card.sample_rate_hz,
            "clip_samples": card.clip_samples,
        }
