"""The rungs of accounts, as an operator reads and sets them, over HTTP or at the command line."""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from shared.contract import AccountLadder, DetectorReading, LadderStep
from victim_service.account_state import AccountState
from victim_service.errors import Refusal, StartError
from victim_service.ledger.base import Ledger
from victim_service.ledger.records import Note
from victim_service.observing import Step
from victim_service.plans import Plan
from victim_service.remembered import Remembered
from victim_service.usage import readable_plans

_ATTEMPTS = 64
_STEPS, _READINGS = 100, 20


async def ladder_of(ledger: Ledger, account: str) -> AccountLadder | None:
    """Return where ``account`` stands and how it came there; None when it has no key.

    Raises:
        Refusal: ledger-unreachable.
    """
    plans = await _plans(ledger, account)
    if plans is None:
        return None
    state = AccountState.read_or_new(await ledger.account_state(account))
    steps = await ledger.notes(account, "step", limit=_STEPS, latest=True)
    readings = await ledger.notes(account, "reading", limit=_READINGS, latest=True)
    return AccountLadder(
        account=account,
        rung=state.rung,
        alarms=state.alarms,
        queries=state.queries,
        in_force={
            name: plan.ladder.kinds(state.rung) for name, plan in plans.items() if plan.ladder
        },
        steps=[LadderStep.model_validate(_told(note)) for note in steps],
        readings=[reading_of(note) for note in readings],
    )


async def set_rung(
    ledger: Ledger, account: str, rung: int, reason: str, by: str, *, forget: bool = False
) -> Step:
    """Put ``account`` on ``rung`` and begin to count its alarms anew; return the step.

    Every replica serves it so from the next query on. With ``forget`` its detectors begin anew,
    too; otherwise they go on from what they remember.

    Raises:
        StartError: it has no key, or no plan of its keys has that many steps.
        Refusal: ledger-unreachable.
    """
    plans = await _plans(ledger, account)
    if plans is None:
        raise StartError(f"there is no account {account!r}. See `earshot-victim ladder list`.")
    most = max((len(plan.ladder.steps) for plan in plans.values() if plan.ladder), default=0)
    if rung > most:
        held = ", ".join(sorted(plans)) or "none"
        raise StartError(
            f"no plan of account {account} (plans: {held}) has {rung} steps on its ladder, but "
            f"{most}. Name a rung from 0 to {most}."
        )
    for _ in range(_ATTEMPTS):
        watched = await ledger.watched(account)
        state = AccountState.read_or_new(watched.state)
        step = Step(state.rung, rung, reason, by)
        state = state.model_copy(update={"rung": rung, "alarms": 0})
        memory = watched.memory
        if forget and memory:
            before = Remembered.read(dataclasses.replace(watched, state=""))
            memory = dataclasses.replace(before, memories={}, filled={}).document
        if await ledger.keep_watched(account, watched.version, memory, state.text, [step.note]):
            return step
    # Each lost attempt is a query of the account that came between.
    raise Refusal("ledger-unreachable", "The account asks all the time. Retry later.")


def reading_of(note: Note) -> DetectorReading:
    """Return a reading as the wire tells it."""
    return DetectorReading.model_validate(_told(note))


def _told(note: Note) -> dict[str, Any]:
    return {**json.loads(note.text), "id": note.id, "at": note.at}


async def _plans(ledger: Ledger, account: str) -> Mapping[str, Plan] | None:
    """Return the plans of the account's valid query keys; None when it never had a key."""
    held: defaultdict[str, bool] = defaultdict(bool)
    for key in await ledger.keys():
        if key.account == account:
            held[key.plan] |= key.scope == "query" and key.state == "valid"
    if not held:
        return None
    sold = readable_plans(await ledger.plans())
    return {name: sold[name] for name, valid in held.items() if valid and name in sold}
