"""Asking the victim as the experimenter: complete answers, off every budget, under an audit key."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from attacker.errors import EarshotError
from attacker.http_oracle import FIRST_CONTACT_S, HttpOracle
from attacker.lab.bundle import Bundle
from attacker.lab.results import Account

_BATCH_CLIPS = 64


class AuditError(EarshotError):
    """The victim cannot be asked as the experiment needs; the message says which key to give."""


@dataclass(frozen=True)
class Auditor:
    """The victim at ``url``, asked under an audit key; the key is in no message and no file."""

    url: str
    key: str
    on_clips: Callable[[int, int], None] | None = None
    """Called as (clips answered, clips in all)."""

    def __repr__(self) -> str:
        return f"Auditor({self.url!r})"

    def label(self, bundle: Bundle) -> np.ndarray:
        """Return the victim's probabilities (N, K) on the test clips of ``bundle``.

        Raises:
            AuditError: the key is metered, or the victim withholds probabilities from it.
            BundleError: the victim at the URL is not the one of the bundle.
            OracleError: the victim cannot be reached, or refuses.
        """
        return asyncio.run(self._label(bundle))

    async def _label(self, bundle: Bundle) -> np.ndarray:
        async with HttpOracle(self.url, self.key) as oracle:
            card = await oracle.card()
            bundle.demand_victim(card.checkpoint, who=f"the victim at {self.url}")
            account = await oracle.account()
            if account.budget is not None or card.label_mode != "soft":
                raise AuditError(
                    f"the key of account {account.account!r} is metered or gets incomplete "
                    "answers, so it cannot measure. Issue one with `earshot-victim keys issue "
                    "--scope audit` and give it with --audit-key or EARSHOT_AUDIT_KEY."
                )
            size = min(_BATCH_CLIPS, card.max_batch_clips)
            parts = []
            for start in range(0, len(bundle.clips), size):
                clips = bundle.clips[start : start + size]
                parts.append(await oracle.classify(clips, f"audit-{bundle.sha256[:24]}-{start}"))
                if self.on_clips is not None:
                    self.on_clips(start + len(clips), len(bundle.clips))
            return np.concatenate(parts)


def ask_account(url: str, key: str) -> Account:
    """Return what the ledger says of the account that ``key`` spends from.

    A victim that is gone is given up after ``FIRST_CONTACT_S``: the report does without it.

    Raises:
        OracleError: the victim cannot be reached, or refuses the key.
    """

    async def ask() -> Account:
        async with HttpOracle(url, key, patience_s=FIRST_CONTACT_S) as oracle:
            status = await oracle.account()
        return Account(
            account=status.account,
            plan=status.plan,
            budget=status.budget,
            spent=status.spent,
            price_per_clip=status.price_per_clip,
        )

    return asyncio.run(ask())
