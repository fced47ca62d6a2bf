"""Sends streams to a plan that watches them, and reads what its detectors said."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from attacker.errors import ExperimentError, Refusal
from attacker.http_oracle import HttpOracle
from attacker.lab.admin import AdminClient
from attacker.lab.bundle import Bundle
from attacker.lab.detection.rows import HONEST, DetectionRow, detection_rows
from attacker.lab.detection.schema import DetectionTrialSpec, Suspect
from attacker.lab.evaluate import LAB_FOLDER
from attacker.lab.results import read_results
from attacker.sources import SourceContext
from shared.audio import to_int16
from shared.contract import ModelCard
from shared.corpora import expanded
from shared.corpora.store import ClipStore
from shared.honest import UserSpec

Stream = Callable[[np.ndarray], np.ndarray]
"""From the numbers of clips (B,) to the clips (B, T) int16."""


@dataclass
class DetectionTrial:
    """A trial on a live victim. ``bundle`` is what honest users say; None where there are none."""

    spec: DetectionTrialSpec
    url: str
    admin: AdminClient
    bundle: Bundle | None
    cache: Path
    on_step: Callable[[str], None] = lambda text: None
    _store: ClipStore | None = field(default=None, init=False, repr=False)

    def rows(self) -> Iterator[DetectionRow]:
        """Yield the rows of every attacker and user, as each is done.

        Raises:
            EarshotError: the victim cannot be reached, is another one, or a key does not serve.
            CorpusError, CheckpointError: the material of a source cannot be used.
        """
        spec = self.spec
        if not isinstance(spec.plan, str):
            self.admin.put_plan(spec.plan)
        for seed in spec.seeds:
            for suspect in spec.attackers:
                yield from self._attacker(suspect, seed)
            for user in spec.users:
                yield from self._user(user, seed)

    def _user(self, user: UserSpec, seed: int) -> list[DetectionRow]:
        if self.bundle is None:
            raise ExperimentError("honest users speak from the evaluation bundle. Give --bundle.")
        honest = user.build(self.bundle, seed)
        return self._watch(
            HONEST + user.kind, seed, 1, lambda card: lambda queries: honest.clips(queries)[0]
        )

    def _attacker(self, suspect: Suspect, seed: int) -> list[DetectionRow]:
        def stream(card: ModelCard) -> Stream:
            source = suspect.source.build(
                SourceContext(
                    sample_rate_hz=card.sample_rate_hz,
                    clip_samples=card.clip_samples,
                    seed=seed,
                    open_proxy=lambda: self._open_proxy(card.sample_rate_hz),
                )
            )
            return lambda queries: to_int16(source.render(queries))

        return self._watch(suspect.name, seed, suspect.accounts, stream, marks_of(suspect))

    def _open_proxy(self, sample_rate_hz: int) -> ClipStore:
        if self._store is None:
            corpus = self.spec.proxy.build(self.cache, None)
            self._store = ClipStore.open(corpus, sample_rate_hz, self.cache)
        return self._store

    def _watch(
        self,
        name: str,
        seed: int,
        accounts: int,
        stream_for: Callable[[ModelCard], Stream],
        marks: dict[int, float] | None = None,
    ) -> list[DetectionRow]:
        plan = self.spec.plan if isinstance(self.spec.plan, str) else str(self.spec.plan["name"])
        # A ledger remembers accounts: each stream is somebody new.
        run = f"watched-{secrets.token_hex(6)}"
        keys = {f"{run}-{n}": self.admin.issue_key(f"{run}-{n}", plan).key for n in range(accounts)}
        self.on_step(f"{name}, seed {seed}: {self.spec.queries:,} clips")
        sent = asyncio.run(self._send(keys, stream_for, run))
        return detection_rows(
            {account: self.admin.readings(account) for account in keys},
            sent,
            attacker=name,
            seed=seed,
            false_alarm_target=self.spec.false_alarm_target,
            marks=marks,
            study=self.spec.name,
        )

    async def _send(
        self, keys: dict[str, str], stream_for: Callable[[ModelCard], Stream], run: str
    ) -> dict[str, np.ndarray]:
        """Send all batches, the accounts in turn; return for each when its clips were sent."""
        oracles = {account: HttpOracle(self.url, key) for account, key in keys.items()}
        sent: dict[str, list[int]] = {account: [] for account in keys}
        try:
            card = await next(iter(oracles.values())).card()
            if self.bundle is not None:
                self.bundle.demand_victim(card.checkpoint, who=f"the victim at {self.url}")
            stream = stream_for(card)
            size = min(self.spec.batch_clips, card.max_batch_clips)
            for number, first in enumerate(range(0, self.spec.queries, size)):
                queries = np.arange(first, min(first + size, self.spec.queries))
                account = list(keys)[number % len(keys)]
                clips = await asyncio.to_thread(stream, queries)
                try:
                    await oracles[account].classify(clips, f"{run}-{number:08d}")
                except Refusal as refusal:
                    self.on_step(f"the victim answers no more: {refusal.code}")
                    break
                sent[account] += (queries + 1).tolist()
        finally:
            for oracle in oracles.values():
                await oracle.close()
        return {account: np.array(places, dtype=np.int64) for account, places in sent.items()}


def marks_of(suspect: Suspect) -> dict[int, float] | None:
    """Return the accuracy at each mark of the run that ``suspect`` names, if it names one.

    Raises:
        ExperimentError: the run has no such campaign, or more than one and none is named.
    """
    if suspect.run is None:
        return None
    folder = expanded(suspect.run)
    try:
        results = read_results(folder / LAB_FOLDER)
    except OSError as error:
        raise ExperimentError(
            f"attacker {suspect.name}: {folder} has not been measured ({error.strerror}). Run "
            f"`earshot-attacker report {folder}`, or leave `run` out."
        ) from error
    named = [c for c in results.campaigns if suspect.campaign in (None, c.name)]
    if len(named) != 1:
        names = ", ".join(c.name for c in results.campaigns)
        raise ExperimentError(
            f"attacker {suspect.name}: the run has the campaigns {names}. Set `campaign` to one."
        )
    return {mark.queries: mark.accuracy.value for mark in named[0].marks}
