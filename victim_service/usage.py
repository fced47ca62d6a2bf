"""What accounts have bought and may still buy: keys, spend and plans put together.

The same sums stand behind the admin API and behind ``earshot-victim top``.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from shared.config import ConfigError
from shared.contract import AccountUsage, KeyInfo, KeyUsage
from victim_service.account_state import AccountState
from victim_service.ledger.records import AccountSpend, KeyRecord, PlanRecord
from victim_service.plans import Plan, read_plan
from victim_service.watch import Watch


def key_info(record: KeyRecord) -> KeyInfo:
    """Return what operators may see of a key: not even its digest."""
    return KeyInfo(
        key_id=record.key_id,
        account=record.account,
        plan=record.plan,
        scope=record.scope,
        budget=record.budget,
        issued_at=record.issued_at,
        expires_at=record.expires_at,
        revoked_at=record.revoked_at,
        state=record.state,
    )


def account_page(usages: Iterable[AccountUsage], watch: Watch, n_labels: int) -> bytes:
    """Return what Prometheus may read of accounts, for operators only."""
    registry = CollectorRegistry()
    spent = Gauge(
        "victim_account_spent_clips", "Clips charged, by the ledger.", ["account"],
        registry=registry,
    )  # fmt: skip
    seen = Gauge(
        "victim_account_labels_seen_ratio",
        "Coverage: labels that this process's answers have named, as a share of all.",
        ["account"],
        registry=registry,
    )
    for one in usages:
        spent.labels(one.account).set(one.spent)
        seen.labels(one.account).set(watch.labels_seen(one.account) / n_labels)
    page: bytes = generate_latest(registry)
    return page


def readable_plans(records: Iterable[PlanRecord]) -> dict[str, Plan]:
    """Return the plans by name, without those that another release wrote."""
    plans: dict[str, Plan] = {}
    for record in records:
        with contextlib.suppress(ConfigError):
            plans[record.name] = read_plan(record.document, record.name)
    return plans


def account_usages(
    keys: Iterable[KeyRecord],
    spends: Sequence[AccountSpend],
    plans: Mapping[str, Plan],
    global_budget: int | None,
    states: Mapping[str, str] | None = None,
) -> list[AccountUsage]:
    """Return the usage of every account that has a key, by name; ``plans`` as they are sold now.

    ``states`` are the defence states of accounts, as the ledger keeps them.
    """
    records: dict[str, list[KeyRecord]] = defaultdict(list)
    for record in keys:
        records[record.account].append(record)
    bought: dict[str, list[AccountSpend]] = defaultdict(list)
    for spend in spends:
        bought[spend.key_id].append(spend)
    left = None if global_budget is None else global_budget - sum(row.spent for row in spends)
    found = [_account(name, records[name], bought, plans, left) for name in sorted(records)]
    return [one.model_copy(update=_standing((states or {}).get(one.account, ""))) for one in found]


def _standing(text: str) -> dict[str, int]:
    state = AccountState.read_or_new(text)
    return {"rung": state.rung, "alarms": state.alarms}


def _account(
    account: str,
    records: Sequence[KeyRecord],
    bought: Mapping[str, list[AccountSpend]],
    plans: Mapping[str, Plan],
    global_left: int | None,
) -> AccountUsage:
    spent = sum(row.spent for record in records for row in bought.get(record.key_id, ()))
    sold = {record.key_id: plans.get(record.plan) for record in records}
    caps = {key: None if plan is None else plan.account_budget for key, plan in sold.items()}
    usages = []
    for record in records:
        cap = caps[record.key_id]
        bounds = (None if cap is None else cap - spent, global_left)
        usages.append(_key(record, bought.get(record.key_id, ()), plans, bounds))
    buyers = [use for use in usages if use.info.scope == "query" and use.info.state == "valid"]
    sells = any(use.info.scope == "query" for use in usages)
    widest = _most([caps[use.info.key_id] for use in buyers])
    return AccountUsage(
        account=account,
        spent=spent,
        queries=sum(use.queries for use in usages),
        audited=sum(use.audited for use in usages),
        cost=sum(use.cost for use in usages),
        budget=_least(_total([use.budget for use in buyers]), widest) if sells else None,
        remaining=_least(
            _total([use.remaining for use in buyers]),
            None if widest is None else max(0, widest - spent),
            None if global_left is None else max(0, global_left),
        )
        if sells
        else None,
        last_at=max((use.last_at for use in usages if use.last_at is not None), default=None),
        keys=usages,
    )


def _key(
    record: KeyRecord,
    rows: Sequence[AccountSpend],
    plans: Mapping[str, Plan],
    bounds: Iterable[int | None],
) -> KeyUsage:
    """``bounds`` are what the account's and the global budget leave."""
    spent = sum(row.spent for row in rows)
    plan = plans.get(record.plan)
    budget = plan.budget if plan is not None and record.budget is None else record.budget
    if record.scope != "query":
        budget = remaining = None
    elif record.state != "valid":
        remaining = 0
    else:
        remaining = _least(None if budget is None else budget - spent, *bounds)
    return KeyUsage(
        info=key_info(record),
        spent=spent,
        queries=sum(row.queries for row in rows),
        audited=sum(row.audited for row in rows),
        cost=sum(plans[row.plan].money(row.spent) for row in rows if row.plan in plans),
        budget=budget,
        remaining=None if remaining is None else max(0, remaining),
        last_at=max((row.last_at for row in rows if row.last_at > 0), default=None),
    )


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _total(limits: Sequence[int | None]) -> int | None:
    """Return the sum; without limit as soon as one part is."""
    known = [limit for limit in limits if limit is not None]
    return sum(known) if len(known) == len(limits) else None


def _most(limits: Sequence[int | None]) -> int | None:
    """Return the largest; without limit as soon as one part is, or when there is none."""
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None
