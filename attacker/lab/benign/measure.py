"""Honest users against plans: each under an account of its own, on a live service."""

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from attacker.http_oracle import HttpOracle
from attacker.lab.admin import AdminClient
from attacker.lab.benign.drive import Buyer, Driven, Traffic, drive, undefended
from attacker.lab.benign.loss import HonestRow, latencies, quality, windows_by_detector
from attacker.lab.bundle import Bundle
from shared.honest import UserSpec

BASE_PLAN = "undefended"
"""The plan that latencies are compared with: all probabilities, no defence, no limit."""


@dataclass(frozen=True)
class HonestTrial:
    """What is measured, on which victim; keys are in no row and no message."""

    url: str
    admin: AdminClient
    audit_key: str = field(repr=False)
    bundle: Bundle
    traffic: Traffic
    study: str = ""

    def rows(
        self, plans: Sequence[str], users: Sequence[UserSpec], seeds: Sequence[int]
    ) -> Iterator[HonestRow]:
        """Measure every user under every plan, and yield a row for each as it is done.

        Raises:
            EarshotError: the victim cannot be reached, is another one, or a key does not serve.
        """
        self.admin.put_plan({"name": BASE_PLAN, "label_mode": "soft"})
        for plan in plans:
            for spec in users:
                for seed in seeds:
                    yield self.row(plan, spec, seed)

    def row(self, plan: str, spec: UserSpec, seed: int) -> HonestRow:
        """Measure one user under one plan; ``rows`` has put the undefended plan before."""
        # A ledger remembers accounts: each trial is somebody new.
        account = f"honest-{spec.kind.replace('_', '-')}-{seed}-{secrets.token_hex(5)}"
        key = self.admin.issue_key(account, plan).key
        base_key = self.admin.issue_key(f"{account}-base", BASE_PLAN).key
        facts = asyncio.run(self._drive(spec, seed, key, base_key, account))
        detectors = windows_by_detector(self.admin.readings(account))
        return HonestRow(
            study=self.study,
            plan=plan,
            user=spec.kind,
            seed=seed,
            account=account,
            clips=self.traffic.clips,
            rate_per_s=self.traffic.rate_per_s,
            batch_clips=self.traffic.batch_clips,
            windows=sum(windows for windows, _ in detectors.values()),
            alarms=sum(alarms for _, alarms in detectors.values()),
            detectors=detectors,
            **facts,
        )

    async def _drive(
        self, spec: UserSpec, seed: int, key: str, base_key: str, run: str
    ) -> dict[str, Any]:
        user = spec.build(self.bundle, seed)
        async with (
            HttpOracle(self.url, key) as oracle,
            HttpOracle(self.url, base_key) as base_oracle,
            HttpOracle(self.url, self.audit_key) as auditor,
        ):
            card = await auditor.card()
            self.bundle.demand_victim(card.checkpoint, who=f"the victim at {self.url}")
            buyer, base = Buyer(oracle), Buyer(base_oracle)
            oracle.on_event, base_oracle.on_event = buyer.on_event, base.on_event
            await oracle.card()  # connections and cards are not a part of any latency
            await base_oracle.card()
            driven = await drive(user, self.traffic, buyer, base, run=run)
            model = await self._model(auditor, user_queries(driven), spec, seed, run)
        return {
            "answered": int(driven.answered.sum()),
            "refused": int((~driven.answered).sum()),
            "refusals": dict(buyer.refusals),
            "given_up": dict(buyer.given_up),
            **quality(driven, model, len(card.labels)),
            **latencies(buyer, base),
        }

    async def _model(
        self, auditor: HttpOracle, queries: np.ndarray, spec: UserSpec, seed: int, run: str
    ) -> np.ndarray:
        if not len(queries):
            return np.zeros((0, self.bundle.n_classes), dtype=np.float32)
        return await undefended(auditor, spec.build(self.bundle, seed), queries, run)


def user_queries(driven: Driven) -> np.ndarray:
    """Return the numbers of the clips that were answered."""
    return np.flatnonzero(driven.answered)
