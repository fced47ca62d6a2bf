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
from attacker.lab.detection.marks import Marks, marks_of
from attacker.lab.detection.rows import HONEST, DetectionRow, detection_rows
from attacker.lab.detection.schema import DetectionTrialSpec, Suspect
from attacker.lab.study.folder import StudyFolder
from attacker.sources import SourceContext
from shared.audio import to_int16
from shared.contract import ModelCard
from shared.corpora.store import ClipStore
from shared.honest import UserSpec

Stream = Callable[[np.ndarray], np.ndarray]
"""From the numbers of clips (B,) to the clips (B, T) int16."""


@dataclass(frozen=True)
class _Sender:
    """Who sends a stream."""

    name: str
    seed: int
    queries: int
    accounts: int = 1
    marks: Marks = None


@dataclass
class DetectionTrial:
    """A trial on a live victim. ``bundle`` is what honest users say; None where there are none.

    ``study`` is of the same victim, and says what suspects that name its cells had stolen.
    """

    spec: DetectionTrialSpec
    url: str
    admin: AdminClient
    bundle: Bundle | None
    cache: Path
    study: StudyFolder | None = None
    on_step: Callable[[str], None] = lambda text: None
    _store: ClipStore | None = field(default=None, init=False, repr=False)

    def rows(self) -> Iterator[DetectionRow]:
        """Yield the rows of every attacker and user, as each is done.

        Raises:
            EarshotError: the victim cannot be reached, is another one, or a key does not serve.
            CorpusError, CheckpointError: the material of a source cannot be used.
        """
        spec = self.spec
        # First of all: a record that is not there is told before anything is sent.
        marks = {one.name: marks_of(one, self.study) for one in spec.attackers}
        if not isinstance(spec.plan, str):
            self.admin.put_plan(spec.plan)
        for seed in spec.seeds:
            for suspect in spec.attackers:
                yield from self._attacker(suspect, seed, marks[suspect.name])
        for seed in spec.user_seeds:
            for user in spec.users:
                yield from self._user(user, seed)

    def _user(self, user: UserSpec, seed: int) -> list[DetectionRow]:
        if self.bundle is None:
            raise ExperimentError("honest users speak from the evaluation bundle. Give --bundle.")
        honest = user.build(self.bundle, seed)
        clips = self.spec.user_queries or self.spec.queries
        who = _Sender(HONEST + user.kind, seed, clips)
        return self._watch(who, lambda card: lambda queries: honest.clips(queries)[0])

    def _attacker(self, suspect: Suspect, seed: int, marks: Marks) -> list[DetectionRow]:
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

        who = _Sender(suspect.name, seed, self.spec.queries, suspect.accounts, marks)
        return self._watch(who, stream)

    def _open_proxy(self, sample_rate_hz: int) -> ClipStore:
        if self._store is None:
            corpus = self.spec.proxy.build(self.cache, None)
            self._store = ClipStore.open(corpus, sample_rate_hz, self.cache)
        return self._store

    def _watch(self, who: _Sender, stream_for: Callable[[ModelCard], Stream]) -> list[DetectionRow]:
        plan = self.spec.plan if isinstance(self.spec.plan, str) else str(self.spec.plan["name"])
        # A ledger remembers accounts: each stream is somebody new.
        run = f"watched-{secrets.token_hex(6)}"
        names = [f"{run}-{n}" for n in range(who.accounts)]
        keys = {name: self.admin.issue_key(name, plan).key for name in names}
        self.on_step(f"{who.name}, seed {who.seed}: {who.queries:,} clips")
        sent = asyncio.run(self._send(who, keys, stream_for, run))
        return detection_rows(
            {account: self.admin.readings(account) for account in keys},
            sent,
            attacker=who.name,
            seed=who.seed,
            false_alarm_target=self.spec.false_alarm_target,
            marks=who.marks,
            study=self.spec.name,
        )

    async def _send(
        self,
        who: _Sender,
        keys: dict[str, str],
        stream_for: Callable[[ModelCard], Stream],
        run: str,
    ) -> dict[str, np.ndarray]:
        """Send all batches, the accounts in turn; return for each when its clips were sent."""
        oracles = {account: HttpOracle(self.url, key) for account, key in keys.items()}
        sent: dict[str, list[int]] = {account: [] for account in keys}
        try:
            card = await next(iter(oracles.values())).card()
            for record in (self.bundle, self.study):
                if record is not None:
                    record.demand_victim(card.checkpoint, who=f"the victim at {self.url}")
            stream = stream_for(card)
            size = min(self.spec.batch_clips, card.max_batch_clips)
            for number, first in enumerate(range(0, who.queries, size)):
                queries = np.arange(first, min(first + size, who.queries))
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
