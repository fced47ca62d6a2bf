"""A whole run: every campaign is bought, then every surrogate is trained. It only wires."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from attacker import surrogate
from attacker.campaign import Campaign
from attacker.experiment import CampaignSpec, Experiment
from attacker.http_oracle import HttpOracle
from attacker.journal import Journal
from attacker.live import CampaignView, View
from attacker.material import Material
from attacker.oracle import Oracle
from attacker.run_folder import RunFolder
from attacker.samplers import Sampler
from attacker.sources import Source
from attacker.sybil import SybilOracle, as_one, demand_keys
from attacker.transfer_set import Clips, kept_path
from shared.runtime import choose_device, tune_process
from shared.training import Epoch


@dataclass(frozen=True)
class Theft:
    """An experiment, the folder it runs in, and the victim that it runs against."""

    experiment: Experiment
    folder: RunFolder
    url: str
    keys: tuple[str, ...] = field(repr=False)
    """One for each account of the experiment, in order."""
    cache: Path
    device: str
    patience_s: float

    def carry_out(self, view: View, argv: Sequence[str]) -> None:
        """Buy what is not bought yet and train what is not trained yet.

        Raises:
            EarshotError: the run cannot go on; what was bought is on disk.
        """
        tune_process()
        device = str(choose_device(self.device))
        material = asyncio.run(self._buy_all(view, argv, device))
        for campaign in self.experiment.campaigns:
            train_surrogates(material, campaign, self.folder, view)

    async def _buy_all(self, view: View, argv: Sequence[str], device: str) -> Material:
        oracles = self._oracles()
        oracle = as_one(oracles)
        try:
            return await self._buy_from(oracle, oracles, view, argv, device)
        finally:
            await oracle.close()

    def _oracles(self) -> list[HttpOracle]:
        query = self.experiment.query
        return [
            HttpOracle(self.url, key, patience_s=self.patience_s, connections=query.in_flight + 1)
            for key in demand_keys(self.keys, query.accounts)
        ]

    async def _buy_from(
        self,
        oracle: Oracle,
        oracles: Sequence[HttpOracle],
        view: View,
        argv: Sequence[str],
        device: str,
    ) -> Material:
        card = await oracle.card()
        names = await oracle.names() if isinstance(oracle, SybilOracle) else ()
        self.experiment.demand_audio(card)
        surrogate.demand_initial_layers(self.experiment.surrogate, len(card.labels))
        surrogate.demand_answers(self.experiment.surrogate, card)
        material = Material(
            self.experiment, card, self.cache, device, view.corpus, view.note, names
        )
        # All sources and samplers are made before the first clip is paid for.
        parts = [
            (campaign, material.source(campaign), material.sampler(campaign))
            for campaign in self.experiment.campaigns
        ]
        for campaign, source, sampler in parts:  # a refused start leaves the record as it was
            identity = material.identity(campaign, source, sampler)
            Journal.demand_same(self.folder.campaign(campaign.name), identity)
        self.folder.record(self.experiment, self.experiment.seed, card, self.url, argv)
        for campaign, source, sampler in parts:
            watch = CampaignView(view, campaign.name, len(card.labels))
            for one in oracles:
                one.on_event = watch.counting(self.folder.on_event(campaign.name))
            await buy(material, campaign, source, sampler, oracle, self.folder, watch)
        return material


async def buy(
    material: Material,
    campaign: CampaignSpec,
    source: Source,
    sampler: Sampler,
    oracle: Oracle,
    folder: RunFolder,
    watch: CampaignView,
) -> str:
    """Buy what is left of one campaign; return why it ended.

    Raises:
        EarshotError: it cannot go on; what was bought is on disk.
    """
    settings = material.settings(campaign, await oracle.account())
    identity = material.identity(campaign, source, sampler)
    journal = Journal.open(folder.campaign(campaign.name), identity)
    try:
        ended = await Campaign(settings, source, sampler, journal, oracle, watch).run()
        counts = journal.counts()
    finally:
        journal.close()
    watch.note(
        f"{ended.replace('-', ' ')}; {counts.observed:,} clips bought, {counts.kept:,} kept, "
        f"{counts.labels_seen} of {watch.n_classes} speakers seen."
    )
    return ended


def train_surrogates(
    material: Material, campaign: CampaignSpec, folder: RunFolder, view: View
) -> None:
    """Train the campaign's surrogates, one a mark, each unless it is there already.

    Raises:
        EarshotError, TrainingError: a surrogate cannot be trained.
    """
    experiment = material.experiment
    journal = Journal.read(folder.campaign(campaign.name))
    try:
        everything = journal.rows()
        marks = experiment.marks_up_to(len(everything.labels))
        wanted = []
        for mark in marks:
            inputs = surrogate.MarkInputs(
                mark=mark,
                rows=everything.first(mark),
                identity=journal.identity,
                card=material.card,
                spec=experiment.surrogate,
                seed=experiment.seed,
                known_defence=experiment.knowledge.known_defence,
            )
            volume = int(inputs.rows.kept.sum())
            if volume < surrogate.FEWEST_CLIPS:
                view.note(f"{campaign.name} at {mark:,}: {volume} clips kept, too few to train on.")
            elif not surrogate.is_trained(folder.surrogate(campaign.name, mark), inputs):
                wanted.append(inputs)
    finally:
        journal.close()
    if not wanted:
        return
    last = wanted[-1]
    indices = last.rows.indices[last.rows.kept]
    place = kept_path(material.cache, last.identity, indices)
    clips = Clips(material.source(campaign), indices, place)
    for inputs in wanted:
        name = f"{campaign.name} surrogate at {inputs.mark:,}"
        target = folder.surrogate(campaign.name, inputs.mark)
        surrogate.train(
            inputs, clips, target, device=material.device, on_epoch=_reporter(view, name)
        )
    clips.discard()  # after a kill they are still there


def _reporter(view: View, name: str) -> surrogate.OnEpoch:
    def show(epoch: Epoch) -> None:
        facts = f"held-out agreement {epoch.validation_accuracy:.1%}"
        view.step(name, epoch.number, epoch.of, facts)

    return show
