"""The plans that are sold, kept by the ledger in versions, so that every replica sells the same."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from shared.config import ConfigError
from victim_service.errors import Refusal
from victim_service.ledger.base import Ledger
from victim_service.ledger.records import PlanRecord
from victim_service.plans import AUDIT, Plan, read_plan

FILE_SOURCE = "file"
"""Source of the versions that plan files made."""
COMMAND_SOURCE = "command"
"""Source of the versions that ``earshot-victim plans put`` made."""
_CACHE_S = 1.0
_ATTEMPTS = 16


def admin_source(key_id: str) -> str:
    """Return the source of a version that was made over HTTP under an admin key."""
    return f"admin:{key_id}"


@dataclass(frozen=True)
class Sold:
    """A plan, and which version of it."""

    plan: Plan
    version: int


SOLD_AUDIT = Sold(AUDIT, 1)
"""What an audit key gets: it is in no ledger, and nobody changes it."""


class PlanBook:
    """The ledger's plans; a change is seen within a second.

    Every method may raise ``Refusal("ledger-unreachable")``, and ``ConfigError`` where a version
    in the ledger was made by another release and cannot be read by this one.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._latest: dict[str, tuple[float, Sold]] = {}
        self._versions: dict[tuple[str, int], Plan] = {}

    async def latest(self, name: str) -> Sold | None:
        """Return the plan as it is sold now; None when there is none of that name."""
        read_at, sold = self._latest.get(name, (0.0, None))
        now = time.monotonic()
        if sold is not None and now - read_at < _CACHE_S:
            return sold
        record = await self._ledger.plan(name)
        if record is None:
            self._latest.pop(name, None)
            return None
        sold = self._sold(record)
        # Dated by when it was asked for: what was put while it was read is seen in time.
        self._latest[name] = (now, sold)
        return sold

    async def at(self, name: str, version: int) -> Plan | None:
        """Return one version of a plan, which never changes."""
        if (name, version) not in self._versions:
            record = await self._ledger.plan(name, version)
            if record is None:
                return None
            self._sold(record)
        return self._versions[name, version]

    async def all(self) -> list[Sold]:
        """Return the latest version of every plan, by name."""
        return [self._sold(record) for record in await self._ledger.plans()]

    async def put(self, plan: Plan, source: str) -> int:
        """Sell ``plan`` from now on; return its version, the latest one if that says the same."""

        return await self._append(plan, source, partial(self._is_latest, plan))

    async def sync_files(self, plans: dict[str, Plan]) -> None:
        """Adopt each plan file that is new, or that changed since a file was last adopted.

        Otherwise the ledger's latest version holds: what an admin changed survives a restart.
        """

        for plan in plans.values():
            await self._append(plan, FILE_SOURCE, partial(self._holds, plan))

    async def _append(
        self, plan: Plan, source: str, settled: Callable[[list[PlanRecord]], bool]
    ) -> int:
        """Add a version, unless ``settled`` finds by the history that there is no need to."""
        for _ in range(_ATTEMPTS):
            history = await self._ledger.plan_history(plan.name)
            if settled(history):
                return history[-1].version
            version = history[-1].version + 1 if history else 1
            made = PlanRecord(plan.name, version, plan.model_dump_json(), source, at=0.0)
            if await self._ledger.add_plan(made):
                self._latest.pop(plan.name, None)
                return version
        # Each lost attempt is a version that somebody else made meanwhile.
        raise Refusal("ledger-unreachable", "Others change this plan all the time. Retry later.")

    def _is_latest(self, plan: Plan, history: list[PlanRecord]) -> bool:
        return bool(history) and self._says(history[-1], plan)

    def _holds(self, plan: Plan, history: list[PlanRecord]) -> bool:
        """Whether the file ``plan`` is no news to a plan of this history."""
        adopted = [record for record in history if record.source == FILE_SOURCE]
        return bool(history) and (not adopted or self._says(adopted[-1], plan))

    def _says(self, record: PlanRecord, plan: Plan) -> bool:
        try:
            return self._sold(record).plan == plan
        except ConfigError:  # of another release: not what this one says
            return False

    def _sold(self, record: PlanRecord) -> Sold:
        place = (record.name, record.version)
        if place not in self._versions:
            origin = f"plan {record.name}, version {record.version}"
            self._versions[place] = read_plan(record.document, origin)
        return Sold(self._versions[place], record.version)
