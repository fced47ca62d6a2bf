"""What a run will cost, before anything is spent."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from attacker.errors import JournalError
from attacker.experiment import Experiment
from attacker.http_oracle import HttpOracle
from attacker.journal import Journal
from attacker.material import Material
from attacker.run_folder import RunFolder
from attacker.sources import Source
from attacker.sybil import as_one, demand_keys
from attacker.transfer_set import KEPT_BYTES
from shared.contract import AccountStatus, ModelCard
from shared.corpora import Progress

PROBE_S = 2.0
"""How long the surrogate's training step is measured."""
_PROBE_CLIPS = 32
_ROW_BYTES = 64
_BATCH_BYTES = 256
_EVALUATION_SHARE = 0.1  # the held-out pass of an epoch, as a share of its training


@dataclass(frozen=True)
class CampaignForecast:
    """What one campaign will need at most; caps that are met early make it less."""

    name: str
    queries: int
    unpaid: int
    """Those of them that were not sent before: what was, may be paid already."""
    price: float
    least_s: float
    """Seconds that the plan's rate alone takes; the victim's speed comes on top."""
    making_s: float
    """Seconds to make the clips, as measured."""
    training_s: float
    """Seconds to train all its surrogates, if every answer is kept that may be."""
    disk_bytes: int
    """Journal, surrogates and, while these are trained, the clips that they are trained on."""


@dataclass(frozen=True)
class Forecast:
    """What a run will need."""

    card: ModelCard
    account: AccountStatus
    campaigns: tuple[CampaignForecast, ...]
    batch_clips: int

    @property
    def queries(self) -> int:
        """Clips of all campaigns."""
        return sum(campaign.queries for campaign in self.campaigns)

    @property
    def missing(self) -> int:
        """Clips that the account will not buy."""
        return missing_clips(self.account, sum(campaign.unpaid for campaign in self.campaigns))


def forecast(
    experiment: Experiment,
    url: str,
    keys: Sequence[str],
    cache: Path,
    *,
    folder: RunFolder,
    patience_s: float,
    device: str = "cpu",
    on_corpus: Progress | None = None,
    on_note: Callable[[str], None] = lambda text: None,
) -> Forecast:
    """Ask the victim for its card and the account, make a few clips, time a few training steps.

    What ``folder`` already holds is not bought again.

    Nothing is sent to be classified.

    Raises:
        EarshotError: the experiment does not fit the victim, or it cannot be reached.
    """
    own = demand_keys(keys, experiment.query.accounts)
    card, account = asyncio.run(ask(url, own, patience_s))
    experiment.demand_audio(card)
    material = Material(experiment, card, cache, device, on_corpus, on_note)
    # All parts first: a source that does not fit should be said before the clock runs.
    sources = [(c, material.source(c), material.sampler(c)) for c in experiment.campaigns]
    step_s, parameters = time_step(experiment, card, device)
    campaigns = []
    for spec, source, sampler in sources:
        most = None if sampler.caps is None else int(sampler.caps.sum())
        kept = [mark if most is None else min(mark, most) for mark in experiment.planned_marks]
        queries, unpaid = _left_to_buy(experiment.budget, folder.campaign(spec.name))
        campaigns.append(
            CampaignForecast(
                name=spec.name,
                queries=queries,
                unpaid=unpaid,
                price=queries * account.price_per_clip,
                least_s=least_seconds(queries, account),
                making_s=queries * _time_clip(source),
                training_s=sum(training_s(experiment, volume, step_s) for volume in kept),
                disk_bytes=_disk_bytes(experiment, card, parameters, max(kept)),
            )
        )
    batch_clips = material.settings(experiment.campaigns[0], account).batch_clips
    return Forecast(card, account, tuple(campaigns), batch_clips)


def missing_clips(account: AccountStatus, wanted: int) -> int:
    """Return how many of ``wanted`` clips the account will not buy."""
    return 0 if account.remaining is None else max(0, wanted - account.remaining)


def least_seconds(queries: int, account: AccountStatus) -> float:
    """Return the seconds that the rate alone needs: a burst at once, the rest at the rate."""
    if account.rate_per_s is None or account.rate_per_s <= 0:
        return 0.0
    return max(0, queries - (account.burst or 0)) / account.rate_per_s


def time_step(experiment: Experiment, card: ModelCard, device: str) -> tuple[float, int]:
    """Return the seconds of one training step of the surrogate, and its number of parameters."""
    spec = experiment.surrogate
    with torch.random.fork_rng(devices=[]):
        model = spec.network.build(len(card.labels)).to(device).train()
        clips = torch.zeros(spec.recipe.batch_size, card.clip_samples, device=device).uniform_(-1)
    targets = torch.zeros(len(clips), dtype=torch.int64, device=device)
    optimiser = torch.optim.Adam(model.parameters(), lr=spec.recipe.learning_rate)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(clips), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        loss.item()  # waits for the device

    step()  # the first one allocates, and is not typical
    started, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - started < PROBE_S:
        step()
        steps += 1
    seconds = (time.perf_counter() - started) / steps
    return seconds, sum(parameter.numel() for parameter in model.parameters())


async def ask(url: str, keys: Sequence[str], patience_s: float) -> tuple[ModelCard, AccountStatus]:
    """Return what the victim says of itself, and of the accounts of all ``keys`` together.

    Nothing is charged.

    Raises:
        EarshotError: the victim cannot be reached, does not take a key, or they make no Sybil.
    """
    oracle = as_one([HttpOracle(url, key, patience_s=patience_s) for key in keys])
    try:
        return await oracle.card(), await oracle.account()
    finally:
        await oracle.close()


def _left_to_buy(budget: int, folder: Path) -> tuple[int, int]:
    """Return the clips without an answer, and those of them that were never sent."""
    try:
        journal = Journal.read(folder)
    except JournalError:
        return budget, budget
    try:
        counts = journal.counts()
        in_doubt = counts.planned - counts.answered
        left = in_doubt if journal.ended == "caps-met" else budget - counts.answered
        return left, left - in_doubt
    finally:
        journal.close()


def _time_clip(source: Source) -> float:
    source.render(np.arange(2))  # imports and first allocations are not typical
    started = time.perf_counter()
    source.render(np.arange(_PROBE_CLIPS))
    return (time.perf_counter() - started) / _PROBE_CLIPS


def training_s(experiment: Experiment, volume: int, step_s: float) -> float:
    """Return the seconds to train one surrogate on ``volume`` clips, ``step_s`` a step."""
    recipe, holdout = experiment.surrogate.recipe, experiment.surrogate.holdout
    steps = -(-round(volume * (1 - holdout)) // recipe.batch_size)
    return recipe.epochs * steps * step_s * (1 + _EVALUATION_SHARE)


def _disk_bytes(experiment: Experiment, card: ModelCard, parameters: int, volume: int) -> int:
    answer_bytes = 8 if card.label_mode == "hard" else 4 * len(card.labels)
    batches = -(-experiment.budget // experiment.query.batch_clips)
    journal = experiment.budget * (answer_bytes + _ROW_BYTES) + batches * _BATCH_BYTES
    surrogates = 4 * parameters * len(experiment.planned_marks)
    clips = 2 * card.clip_samples * volume
    return journal + surrogates + (clips if clips <= KEPT_BYTES else 0)
