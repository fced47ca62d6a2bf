"""Accounts as the ledger knows them: needs no service, sees all replicas, and no refusals."""

import time
from collections import Counter, deque
from collections.abc import Mapping
from urllib.parse import urlsplit

from shared.contract import AccountUsage
from victim_service.ledger import Ledger
from victim_service.plans import Plan
from victim_service.top.frame import Frame
from victim_service.usage import account_usages, readable_plans

_WINDOW_S = 10.0


class LedgerSource:
    """Reads a ledger again and again; rates come from what grew meanwhile."""

    def __init__(
        self,
        ledger: Ledger,
        address: str,
        file_plans: Mapping[str, Plan],
        global_budget: int | None,
    ) -> None:
        self._ledger = ledger
        self._origin = _without_password(address)
        self._file_plans = file_plans
        """For a ledger that no service has adopted plans into yet."""
        self._global_budget = global_budget
        self._past: deque[tuple[float, Counter[str]]] = deque()

    async def read(self) -> Frame:
        """Return the accounts; their rates are None the first time.

        Raises:
            Refusal: ledger-unreachable.
        """
        ledger = self._ledger
        at = await ledger.now()
        plans = {**self._file_plans, **readable_plans(await ledger.plans())}
        keys, spends = await ledger.keys(), await ledger.spend()
        states = await ledger.account_states()
        accounts = account_usages(keys, spends, plans, self._global_budget, states)
        return Frame(at, self._origin, self._with_rates(accounts))

    def _with_rates(self, accounts: list[AccountUsage]) -> list[AccountUsage]:
        now = time.monotonic()
        clips = Counter({one.account: one.spent + one.audited for one in accounts})
        while self._past and now - self._past[0][0] > _WINDOW_S:
            self._past.popleft()
        first_at, before = self._past[0] if self._past else (now, clips)
        self._past.append((now, clips))
        if now <= first_at:
            return accounts
        return [
            one.model_copy(
                update={
                    # What was given back after a fault is no negative rate.
                    "clips_per_s": max(0, clips[one.account] - before[one.account])
                    / (now - first_at)
                }
            )
            for one in accounts
        ]


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    if "@" not in parts.netloc:
        return address
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
