"""The ledger as one would explain it: dictionaries, no clock, no concurrency, nothing to fail.

A rate in this world refills by less than a clip in a lifetime (``SLOW``) or never runs dry
(``FAST``), and a lease is over at once or never, so that no moment matters.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from victim_service.ledger.base import (
    GLOBAL_SUBJECT,
    Budget,
    Grant,
    Query,
    Rate,
    Standing,
    account_subject,
    key_subject,
)

SLOW = 2.0**-20
"""Clips a second; a power of two, so that sums of its waits are exact."""
FAST = 1e6

State = Literal["running", "committed", "released"]
Line = tuple[str, str, str, str, int, str, int, int]
"""kind, account, key id, plan, plan version, idempotency key, clips, delta."""


@dataclass
class Kept:
    """An idempotency record."""

    query: Query
    """As it was bought; its key pays."""
    version: int
    defence: str
    model: str
    state: State
    holder: str
    over: bool
    """Whether the lease is."""
    cost: int = 0
    """Units that it holds of each budget."""


@dataclass(frozen=True)
class Expected:
    """What a grant must say, apart from its token."""

    charged: int
    replayed: bool
    standing: Standing
    version: int
    defence: str


@dataclass
class LedgerModel:
    """What was kept."""

    kept: dict[tuple[str, str], Kept] = field(default_factory=dict)
    spent: Counter[str] = field(default_factory=Counter)
    paced: Counter[str] = field(default_factory=Counter)
    states: dict[str, str] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)

    def judge(self, query: Query) -> str | Expected:
        """Return the code of the refusal, or the grant; nothing changes."""
        record = self.kept.get((query.account, query.idempotency))
        answered = record is not None and record.state == "committed"
        if record is not None:
            if (record.query.payload, record.query.clips) != (query.payload, query.clips):
                return "key-reused"
            if answered and (record.query.plan, record.model) != (query.plan, query.model):
                return "key-reused"
            if record.state == "running" and not record.over:
                return "still-running"
        cost = 0 if record is not None and answered else query.units
        change = self._change(query, record, cost)
        budgets = [policy for policy in query.policies if isinstance(policy, Budget)]
        rates = [policy for policy in query.policies if isinstance(policy, Rate)]
        for budget in budgets:
            limited = budget.limit is not None and cost > 0
            after = self.spent[budget.subject] + change[budget.subject]
            if limited and after > (budget.limit or 0):
                return "budget-exhausted"
        if any(query.clips > rate.burst for rate in rates):
            return "batch-exceeds-burst"
        for rate in rates:
            if rate.per_s == SLOW and self.paced[rate.subject] + query.clips > rate.burst:
                return "rate-limited"
        terms = (query.plan_version, self.states.get(query.account, ""))
        if record is not None and answered:
            terms = (record.version, record.defence)
        standing = self.standing(query, change, query.clips)
        return Expected(cost, answered, standing, *terms)

    def _change(self, query: Query, record: Kept | None, cost: int) -> Counter[str]:
        """Return what a sale adds to each counter; what a lapsed one of it held goes back."""
        change = Counter(dict.fromkeys(_subjects(query), cost))
        if record is not None and record.state == "running":
            for subject in _subjects(record.query):
                change[subject] -= record.cost
        return change

    def standing(
        self, query: Query, change: Counter[str] | None = None, clips: int = 0
    ) -> Standing:
        """Return what is left after a ``change`` of the budgets and ``clips`` of the rates."""
        change = change or Counter()
        budgets = [policy for policy in query.policies if isinstance(policy, Budget)]
        rates = [policy for policy in query.policies if isinstance(policy, Rate)]
        spent = {b.subject: self.spent[b.subject] + change[b.subject] for b in budgets}
        left = [(b.limit - spent[b.subject], b.limit) for b in budgets if b.limit is not None]
        tightest = min(left, key=lambda pair: pair[0], default=None)
        bursts = [
            max(0, rate.burst - self.paced[rate.subject] - clips)
            for rate in rates
            if rate.per_s == SLOW
        ]
        return Standing(
            budget=None if tightest is None else tightest[1],
            spent=spent[budgets[0].subject],
            remaining=None if tightest is None else max(0, tightest[0]),
            rate_remaining=min(bursts, default=None),
        )

    def reserve(self, query: Query, grant: Grant, *, over: bool) -> None:
        """Keep what was granted."""
        key = (query.account, query.idempotency)
        record = self.kept.get(key)
        bought = record is None or record.state != "committed"
        if bought:
            if record is not None and record.state == "running":
                self._settle(record, "released", "reap", 0)
            version, defence = query.plan_version, self.states.get(query.account, "")
            record = Kept(query, version, defence, query.model, "running", grant.token, over)
            self.kept[key] = record
            record.cost = query.units
            self._charge(query, query.units)
        for policy in query.policies:
            if isinstance(policy, Rate) and policy.per_s == SLOW:
                self.paced[policy.subject] += query.clips
        assert record is not None
        kind = "reserve" if bought else "replay"
        self._enter(kind, query, record.version, query.units if bought else 0)

    def commit(self, query: Query, grant: Grant, cost: int | None = None) -> bool:
        """Return whether the answer may leave."""
        record = self.kept[query.account, query.idempotency]
        if record.holder != grant.token or record.state == "released":
            return False
        if record.state == "running":
            self._settle(record, "committed", "commit", record.cost if cost is None else cost)
        return True

    def end(self, query: Query, grant: Grant, *, release: bool) -> None:
        """Release or abandon, if the grant still holds the lease."""
        record = self.kept[query.account, query.idempotency]
        if record.state == "running" and record.holder == grant.token:
            if release:
                self._settle(record, "released", "release", 0)
            else:
                record.over = True

    def reap(self) -> int:
        """Release what nobody holds."""
        over = [r for r in self.kept.values() if r.state == "running" and r.over]
        for record in over:
            self._settle(record, "released", "reap", 0)
        return len(over)

    def note_audit(self, query: Query) -> None:
        """Enter unmetered use."""
        self._enter("audit", query, query.plan_version, 0)

    def usage(self) -> dict[tuple[str, str, str], tuple[int, int, int]]:
        """Return (spent, queries, audited) by account, key and plan."""
        sums: dict[tuple[str, str, str], tuple[int, int, int]] = {}
        for kind, account, key_id, plan, _, _, clips, delta in self.lines:
            spent, queries, audited = sums.get((account, key_id, plan), (0, 0, 0))
            sums[account, key_id, plan] = (
                spent + delta,
                queries + (kind == "commit"),
                audited + (clips if kind == "audit" else 0),
            )
        return sums

    def _charge(self, query: Query, units: int) -> None:
        for subject in _subjects(query):
            self.spent[subject] += units

    def _settle(self, record: Kept, state: State, kind: str, cost: int) -> None:
        back = max(0, record.cost - cost)
        record.state, record.cost = state, record.cost - back
        self._charge(record.query, -back)
        self._enter(kind, record.query, record.version, -back)

    def _enter(self, kind: str, query: Query, version: int, delta: int) -> None:
        payer = (query.account, query.key_id, query.plan, version)
        self.lines.append((kind, *payer, query.idempotency, query.clips, delta))


def _subjects(query: Query) -> tuple[str, str, str]:
    return key_subject(query.key_id), account_subject(query.account), GLOBAL_SUBJECT
