"""Queries of one account, one key and one plan, with what a test wants to vary."""

from victim_service.ledger.base import (
    GLOBAL_SUBJECT,
    Budget,
    Policy,
    Query,
    Rate,
    account_subject,
    key_subject,
)

PATIENT_S = 60.0
"""Time limit of a ledger whose speed does not matter."""
LEASE_S = 30.0


def policies(
    key: int | None = 100,
    account: int | None = None,
    total: int | None = None,
    key_id: str = "k",
) -> tuple[Policy, ...]:
    """Return the three budgets, of which ``key`` is limited unless told otherwise."""
    return (
        Budget(key_subject(key_id), key),
        Budget(account_subject("a"), account),
        Budget(GLOBAL_SUBJECT, total),
    )


def paced(per_s: float, burst: int, key: int | None = 100_000) -> tuple[Policy, ...]:
    """Return the three budgets and a rate."""
    return (*policies(key), Rate(key_subject("k"), per_s, burst))


def query(
    name: str = "q",
    clips: int = 1,
    rules: tuple[Policy, ...] | None = None,
    *,
    plan: str = "soft",
    payload: bytes = b"payload",
    version: int = 1,
    model: str = "m1",
    key_id: str = "k",
    cost: int | None = None,
) -> Query:
    """Return a query of account ``a``."""
    rules = policies() if rules is None else rules
    return Query("a", key_id, plan, name, payload, clips, rules, version, model, cost)
