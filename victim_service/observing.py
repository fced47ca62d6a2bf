"""Watching accounts: each query passes its detectors, and their alarms climb the plan's ladder.

An account's memory is one document in the ledger, which replicas change by compare and swap: who
comes second reads again and sees its clips after the other's. Where that cannot be done, the query
is refused, so that nobody buys what no detector has seen.
"""

import asyncio
import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np
import structlog

from victim_service import policies
from victim_service.account_state import AccountState
from victim_service.detectors import Detector, DetectorSpec, Seen
from victim_service.detectors.running import advance
from victim_service.errors import Refusal, StartError
from victim_service.ladder import Ladder, terms_of
from victim_service.ledger.base import Ledger, Query
from victim_service.ledger.records import Note
from victim_service.metrics import Metrics
from victim_service.plans import Plan
from victim_service.remembered import NAME_BYTES, RING, Remembered

_log = structlog.get_logger("victim")

_ATTEMPTS = 16
_CACHED_ACCOUNTS = 128
BY_DETECTORS = "detectors"
"""Who made a step that alarms led to."""


class Fitter(Protocol):
    """Builds detectors that know honest traffic, as what was fitted to it does."""

    def build(self, spec: DetectorSpec) -> tuple[Detector, float]:
        """Return the detector, and the score above which a window is an alarm.

        Raises:
            StartError: nothing was fitted to such a detector.
        """
        ...


@dataclass(frozen=True)
class Watcher:
    """A detector of a plan, ready to watch."""

    kind: str
    name: str
    """Names its memory: another setting is another detector."""
    detector: Detector
    threshold: float


@dataclass(frozen=True)
class Reading:
    """The score of one window."""

    detector: str
    query: int
    """Clips of the account that were seen by then, the window's last one included."""
    score: float | None
    """None where it is not finite."""
    threshold: float
    alarm: bool


@dataclass(frozen=True)
class Step:
    """A change of an account's rung."""

    before: int
    after: int
    reason: str
    by: str

    @property
    def note(self) -> Note:
        """What the ledger keeps of it, for ever."""
        told = {"from": self.before, "to": self.after, "reason": self.reason, "by": self.by}
        return Note("step", json.dumps(told, ensure_ascii=False))


def watches(plan: Plan) -> bool:
    """Whether queries under ``plan`` change what is kept of their account."""
    last = terms_of(plan, len(plan.ladder.steps) if plan.ladder else 0).plan
    return bool(plan.detectors) or policies.keeps_state(last)


class Observing:
    """Watches the accounts of one service."""

    def __init__(self, ledger: Ledger, fitted: Fitter | None, metrics: Metrics) -> None:
        self._ledger = ledger
        self._fitted = fitted
        self._metrics = metrics
        self._watchers: dict[DetectorSpec, Watcher] = {}
        self._cache: OrderedDict[str, Remembered] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def prepare(self, plan: Plan) -> tuple[Watcher, ...]:
        """Return the detectors of ``plan``; the first time it may take seconds.

        Raises:
            StartError: this service cannot run one of them; the message says what to do.
        """
        for spec in plan.detectors:
            if spec not in self._watchers:
                self._watchers[spec] = self._build(plan, spec)
        return tuple(self._watchers[spec] for spec in plan.detectors)

    async def observe(self, plan: Plan, query: Query, seen: Seen) -> AccountState:
        """Show what the model made of ``query`` to the detectors; return the account's state then.

        A query that was seen before, and was sent again, changes nothing.

        Raises:
            Refusal: ledger-unreachable, or internal when a detector cannot run here.
        """
        watchers = await self._ready(plan)
        name = hashlib.sha256(query.idempotency.encode() + query.payload).digest()[:NAME_BYTES]
        turn = self._turns.setdefault(query.account, asyncio.Lock())
        async with turn:
            before = self._cache.pop(query.account, None)
            for _ in range(_ATTEMPTS):
                if before is None:
                    before = Remembered.read(await self._ledger.watched(query.account))
                if name in before.queries:
                    self._keep(query.account, before)
                    return before.state
                work = (plan, watchers, before, name, seen)
                after, readings, steps = await asyncio.to_thread(_watch, *work)
                if await self._write(query.account, after, readings, steps):
                    return after.state
                before = None
        # Each lost attempt is a query that another replica was quicker with.
        raise Refusal("ledger-unreachable", retry_after_s=1.0)

    async def _write(
        self, account: str, after: Remembered, readings: "list[Reading]", steps: list[Step]
    ) -> bool:
        notes = [Note("reading", json.dumps(vars(reading))) for reading in readings]
        notes += [step.note for step in steps]
        kept = await self._ledger.keep_watched(
            account, after.version - 1, after.document, after.state.text, notes
        )
        if kept:
            self._keep(account, after)
            self._tell(account, readings, steps)
        return kept

    async def _ready(self, plan: Plan) -> tuple[Watcher, ...]:
        if all(spec in self._watchers for spec in plan.detectors):
            return self.prepare(plan)
        try:
            return await asyncio.to_thread(self.prepare, plan)
        except StartError as error:
            _log.error("a detector cannot run", plan=plan.name, reason=str(error))
            raise Refusal(
                "internal", "The plan's detectors cannot run here. Tell the operator."
            ) from error

    def _build(self, plan: Plan, spec: DetectorSpec) -> Watcher:
        if self._fitted is None:
            raise StartError(
                f"plan {plan.name}: detector {spec.kind} needs what was fitted to honest traffic, "
                "and this checkpoint has no folder detectors. Run `earshot-victim detectors fit`."
            )
        detector, threshold = self._fitted.build(spec)
        settings = spec.model_dump_json(exclude={"threshold"})
        digest = hashlib.sha256(settings.encode()).hexdigest()[:8]
        return Watcher(spec.kind, f"{spec.kind}-{digest}", detector, threshold)

    def _keep(self, account: str, remembered: Remembered) -> None:
        self._cache[account] = remembered
        while len(self._cache) > _CACHED_ACCOUNTS:
            self._cache.popitem(last=False)

    def _tell(self, account: str, readings: "list[Reading]", steps: list[Step]) -> None:
        for reading in readings:
            self._metrics.windows.labels(reading.detector).inc()
            if reading.alarm:
                self._metrics.alarms.labels(reading.detector).inc()
        for step in steps:
            self._metrics.ladder_steps.labels(str(step.after)).inc()
            log_step(account, step)


def log_step(account: str, step: Step) -> None:
    """Say in the service's log that an account is on another rung, and why."""
    told: dict[str, Any] = {"reason": step.reason, "by": step.by}
    _log.warning("ladder step", account=account, rung=step.after, before=step.before, **told)


def _watch(
    plan: Plan, watchers: Sequence[Watcher], before: Remembered, name: bytes, seen: Seen
) -> "tuple[Remembered, list[Reading], list[Step]]":
    """Return what is remembered after ``seen``, the windows that it closed, and what follows."""
    memories, filled = dict(before.memories), dict(before.filled)
    readings: list[Reading] = []
    for watcher in watchers:
        memory = memories.get(watcher.name)
        if memory is None:
            memory = watcher.detector.begin()
        begun = filled.get(watcher.name, 0)
        memory, scores = advance(watcher.detector, memory, begun, seen)
        for clips, score in scores:
            query = before.state.queries + clips - begun
            readings.append(_reading(watcher, float(score), query))
        memories[watcher.name] = memory
        filled[watcher.name] = (begun + len(seen)) % watcher.detector.window
    readings.sort(key=lambda reading: reading.query)
    state = policies.next_state(plan, before.state, np.ascontiguousarray(seen.probabilities))
    state, steps = climb(plan.ladder, state, readings)
    queries = (*before.queries, name)[-RING:]
    after = Remembered(before.version + 1, state, queries, memories, filled)
    return after, readings, steps


def _reading(watcher: Watcher, score: float, query: int) -> Reading:
    alarm = score > watcher.threshold
    told = score if math.isfinite(score) else None
    return Reading(watcher.kind, query, told, watcher.threshold, alarm)


def climb(
    ladder: Ladder | None, state: AccountState, readings: Sequence[Reading]
) -> tuple[AccountState, list[Step]]:
    """Return the state after the alarms in ``readings``, and the steps that they led to."""
    rung, alarms = state.rung, state.alarms
    steps: list[Step] = []
    for reading in readings:
        alarms += reading.alarm
        if not reading.alarm or ladder is None or alarms < ladder.alarms:
            continue
        if rung >= len(ladder.steps):
            continue
        reason = (
            f"{reading.detector} at clip {reading.query}: "
            f"{reading.score if reading.score is None else format(reading.score, '.6g')} is above "
            f"{reading.threshold:.6g}; alarm {alarms} of {ladder.alarms}"
        )
        steps.append(Step(rung, rung + 1, reason, BY_DETECTORS))
        rung, alarms = rung + 1, 0
    return state.model_copy(update={"rung": rung, "alarms": alarms}), steps
