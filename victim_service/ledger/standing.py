"""What is left under a list of policies, and the refusals that follow: shared by all backends.

Pure arithmetic on what a backend read in its one atomic step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from victim_service.errors import Refusal
from victim_service.ledger import gcra
from victim_service.ledger.base import GLOBAL_SUBJECT, Budget, Policy, Rate, Standing

CLOCK_S = 0.001
"""Resolution of a ledger's clock: a wait is told this much longer, so that it works if obeyed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the ledger said at one moment; a subject that is missing was never charged."""

    spent: Mapping[str, int]
    """Units charged, by subject of a budget."""
    arrivals: Mapping[str, float]
    """Theoretical arrival time, by subject of a rate."""
    now_s: float


def budgets(policies: Sequence[Policy]) -> list[Budget]:
    """Return the budgets, in their order."""
    return [policy for policy in policies if isinstance(policy, Budget)]


def rates(policies: Sequence[Policy]) -> list[Rate]:
    """Return the rates, in their order."""
    return [policy for policy in policies if isinstance(policy, Rate)]


def budget_subjects(policies: Sequence[Policy]) -> list[str]:
    """Return each subject that a query is charged to, once."""
    return list(dict.fromkeys(budget.subject for budget in budgets(policies)))


def remaining(policies: Sequence[Policy], spent: Mapping[str, int]) -> int | None:
    """Return the units that every budget would still grant, at least 0; None without a limit."""
    tightest = _tightest(policies, spent)
    return None if tightest is None else max(0, _left(tightest, spent))


def standing(policies: Sequence[Policy], reading: Reading) -> Standing:
    """Return what is left under ``policies``."""
    spent = reading.spent
    counted, paced = budgets(policies), rates(policies)
    tightest = _tightest(policies, spent)
    rate_left, rate_wait = _paced([rate for rate in paced if rate.name == "rate"], reading)
    daily_left, daily_wait = _paced([rate for rate in paced if rate.name == "daily"], reading)
    return Standing(
        budget=None if tightest is None else tightest.limit,
        spent=spent.get(counted[0].subject, 0) if counted else 0,
        remaining=remaining(policies, spent),
        rate_remaining=rate_left,
        rate_reset_s=rate_wait,
        daily_remaining=daily_left,
        daily_reset_s=daily_wait,
    )


def _tightest(policies: Sequence[Policy], spent: Mapping[str, int]) -> Budget | None:
    """Return the budget that grants least; None without a limit."""
    return min(
        (budget for budget in budgets(policies) if budget.limit is not None),
        key=lambda budget: _left(budget, spent),
        default=None,
    )


def _left(budget: Budget, spent: Mapping[str, int]) -> int:
    return (budget.limit or 0) - spent.get(budget.subject, 0)


def _paced(paced: Sequence[Rate], reading: Reading) -> tuple[int | None, float | None]:
    """Return the clips that all of these rates grant at once, and when all are full again."""
    now = reading.now_s
    busy = [max(0.0, reading.arrivals.get(rate.subject, 0.0) - now) for rate in paced]
    left = [
        gcra.units_left(now + wait, now, rate.per_s, rate.burst)
        for rate, wait in zip(paced, busy, strict=True)
    ]
    return min(left, default=None), max(busy, default=None)


def allow(
    policies: Sequence[Policy], reading: Reading, *, cost: int, clips: int
) -> dict[str, float]:
    """Decide on ``cost`` units of the budgets and ``clips`` of the rates: all policies or none.

    Returns:
        The theoretical arrival times that the reservation leaves, by subject.

    Raises:
        Refusal: budget-exhausted, batch-exceeds-burst or rate-limited, looked for in this order.
    """
    tightest = _tightest(policies, reading.spent)
    if tightest is not None and cost > max(0, _left(tightest, reading.spent)):
        raise exhausted(tightest, cost, standing(policies, reading))
    paced = rates(policies)
    least = min(paced, key=lambda rate: rate.burst, default=None)
    if least is not None and clips > least.burst:
        raise oversized(least, clips)
    after: dict[str, float] = {}
    slowest: Rate | None = None
    wait_s = 0.0
    for rate in paced:
        arrival = reading.arrivals.get(rate.subject, 0.0)
        decision = gcra.decide(arrival, reading.now_s, clips, rate.per_s, rate.burst)
        if decision.retry_after_s > wait_s:
            slowest, wait_s = rate, decision.retry_after_s
        after[rate.subject] = decision.arrival_s
    if slowest is not None:
        raise limited(slowest, clips, wait_s, standing(policies, reading))
    return after


def settled(cost: int | None) -> int | None:
    """Return a final cost as a ledger may take it.

    Raises:
        ValueError: it is negative.
    """
    if cost is not None and cost < 0:
        raise ValueError(f"a query cannot cost {cost}. Settle it at 0 or more.")
    return cost


def exhausted(tightest: Budget, cost: int, left: Standing) -> Refusal:
    """Return the refusal of a cost above what remains, which names the budget that grants least."""
    return Refusal(
        "budget-exhausted",
        f"This costs {cost} units, and {left.remaining} remain{_of(tightest)}. "
        "Send fewer clips, or ask for a larger plan.",
        remaining=left.remaining,
        standing=left,
    )


def _of(budget: Budget) -> str:
    scope = budget.subject.partition(":")[0]
    owner = {"key": "the key's", "account": "the account's", GLOBAL_SUBJECT: "the service's"}
    return f" of {owner.get(scope, 'the')} budget of {budget.limit}"


def limited(rate: Rate, clips: int, wait_s: float, left: Standing) -> Refusal:
    """Return the refusal of ``clips`` clips that fit under ``rate`` after ``wait_s``."""
    named = f"the rate of {rate.per_s:g} clips/s with a burst of {rate.burst}"
    if rate.name == "daily":
        named = f"the daily budget of {rate.burst} clips"
    return Refusal(
        "rate-limited",
        f"This holds {clips} {_clips(clips)}, for which {named} has no room yet. "
        "Wait for Retry-After.",
        retry_after_s=wait_s + CLOCK_S,
        remaining=left.daily_remaining if rate.name == "daily" else None,
        standing=left,
    )


def oversized(rate: Rate, clips: int) -> Refusal:
    """Return the refusal of a batch that no wait would ever let through under ``rate``."""
    named = "daily budget" if rate.name == "daily" else "burst"
    return Refusal(
        "batch-exceeds-burst",
        f"The batch holds {clips} {_clips(clips)} and the {named} is {rate.burst}. Send less.",
    )


def _clips(count: int) -> str:
    return "clip" if count == 1 else "clips"


def still_running(lease_left_s: float) -> Refusal:
    """Return the refusal of a key whose lease ends in ``lease_left_s``."""
    return Refusal("still-running", retry_after_s=lease_left_s + CLOCK_S)


def other_bytes() -> Refusal:
    """Return the refusal of a key that was used for another body."""
    return Refusal("key-reused")


def other_plan() -> Refusal:
    """Return the refusal of a key paid under another plan: hard labels must not pay for soft."""
    return Refusal(
        "key-reused", "This Idempotency-Key was paid under another plan. Take a new one."
    )


def other_model() -> Refusal:
    """Return the refusal of a replay whose first answer this model cannot give again."""
    return Refusal(
        "key-reused", "This Idempotency-Key was answered by another model. Take a new one."
    )


def too_late() -> Refusal:
    """Return the refusal of an answer whose reservation is gone, or was given another answer."""
    return Refusal("deadline-passed", retry_after_s=1.0)
