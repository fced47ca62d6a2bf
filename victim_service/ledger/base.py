"""The ledger: the server's truth about what was bought.

A query is reserved before the model runs and committed before its answer leaves. One reservation
checks all its policies and charges all of them or none, in one atomic step, by the ledger's own
clock, and writes the idempotency record in the same step:

* new key: all policies must agree; each budget is charged what the query costs, as a rule one unit
  a clip, and the rate pays its clips;
* a committed key with the same bytes: a replay, which pays the rate but no budget;
* a running key: refused until its lease is over; then what it holds is given back, and it is as
  a new one, in the same step;
* a released key: as a new one;
* any key with other bytes, and one that was answered under another plan or by another model:
  refused.

So only an answer that was committed binds: the record keeps the plan's version and the defence
state of its account as they were when it was bought, so that a replay gives the first answer again.
What nobody was answered is sold as everything else is sold at that moment: at its price, under its
plan and in the account's state of then, whoever held it before. Its holder before may not commit.
A refusal writes nothing at all. Every time is the ledger's own clock, never that of its caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from victim_service.ledger.records import (
    AccountSpend,
    Entry,
    KeyRecord,
    Mismatch,
    Note,
    NoteKind,
    PlanRecord,
    Totals,
    Watched,
)

GLOBAL_SUBJECT = "global"
KEPT_READINGS = 10_000
"""Latest readings that are kept of an account; steps are kept for ever."""


def key_subject(key_id: str) -> str:
    """Return the subject under which an API key is counted."""
    return f"key:{key_id}"


def account_subject(account: str) -> str:
    """Return the subject under which an account is counted."""
    return f"account:{account}"


@dataclass(frozen=True, slots=True)
class Budget:
    """Absolute units that never refill. A limit of None counts without limiting.

    A query that is metered names the budgets of its key, its account and all (``key_subject``,
    ``account_subject``, ``GLOBAL_SUBJECT``): these are what ``verify`` makes again from entries.
    """

    subject: str
    limit: int | None


@dataclass(frozen=True, slots=True)
class Rate:
    """Clips a second with a burst, by the generic cell rate algorithm; one to a subject."""

    subject: str
    per_s: float
    burst: int
    name: Literal["rate", "daily"] = "rate"
    """How what is left of it is told."""


DAY_S = 86_400.0


def daily(subject: str, clips: int) -> Rate:
    """Return a rate of ``clips`` clips at once, and evenly as many more within each day."""
    return Rate(f"daily:{subject}", clips / DAY_S, clips, "daily")


Policy = Budget | Rate


@dataclass(frozen=True, slots=True)
class Query:
    """What is to be reserved: ``clips`` clips for one idempotency key of one account."""

    account: str
    key_id: str
    plan: str
    idempotency: str
    payload: bytes
    """Digest of the bytes that were sent."""
    clips: int
    policies: tuple[Policy, ...]
    plan_version: int = 1
    model: str = ""
    """Identity of the checkpoint that will answer."""
    cost: int | None = None
    """Units reserved under every budget; None is one a clip. A rate counts clips all the same."""

    def __post_init__(self) -> None:
        if self.cost is not None and self.cost < 0:
            raise ValueError(f"a query cannot cost {self.cost}. Take a cost of 0 or more.")

    @property
    def units(self) -> int:
        """Units that are reserved: the cost, or one a clip."""
        return self.clips if self.cost is None else self.cost


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left under a list of policies; None where there is no such policy or no limit."""

    budget: int | None = None
    """Limit of the tightest budget."""
    spent: int = 0
    """Units charged to the first budget."""
    remaining: int | None = None
    rate_remaining: int | None = None
    """Clips that would be granted at once."""
    rate_reset_s: float | None = None
    """Time after which the whole burst is there again."""
    daily_remaining: int | None = None
    """Clips that are left of a day's allowance."""
    daily_reset_s: float | None = None
    """Time after which the whole allowance is there again."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A reservation, or a replay of a committed one."""

    token: str
    """Names the holder of the lease: only the holder may commit, release or abandon."""
    charged: int
    """Units charged by this reservation; 0 for a replay."""
    replayed: bool
    standing: Standing
    plan_version: int = 1
    """Version under which the query was bought: the answer is released under it."""
    state: str = ""
    """Defence state of the account when the query was bought."""


class Ledger(Protocol):
    """What every backend offers. Any method may raise ``Refusal("ledger-unreachable")``."""

    async def reserve(self, query: Query, lease_s: float) -> Grant:
        """Charge all policies or none.

        Raises:
            Refusal: budget-exhausted, rate-limited, batch-exceeds-burst, still-running, key-reused.
        """
        ...

    async def commit(self, query: Query, grant: Grant, cost: int | None = None) -> None:
        """Make a reservation final, before its answer leaves.

        The holder of the lease may, also when it is over, and again when it is not sure of the
        first time, which changes nothing. ``cost`` is what the answer turned out to cost, in units;
        what was reserved beyond it goes back to the same budgets in the same step. It is never more
        than was reserved: None, and any cost above that, keep the whole.

        Raises:
            Refusal: deadline-passed, when it was released, reaped or bought by another meanwhile:
                the answer must not leave.
        """
        ...

    async def release(self, query: Query, grant: Grant) -> None:
        """Give what was reserved back after a fault of the server."""
        ...

    async def abandon(self, query: Query, grant: Grant) -> None:
        """End the lease of a query whose client left, so that a retry may buy it at once.

        What it holds stays charged until then, or until it is reaped: who makes the model work for
        nobody gets nothing back for it at once.
        """
        ...

    async def note_audit(self, query: Query) -> None:
        """Enter the use of an audit key, which no budget and no rate sees."""
        ...

    async def would_replay(self, query: Query) -> bool:
        """Return whether :meth:`reserve` would replay an answer; nothing changes.

        It stays so once it is true. Otherwise it is what could be sold at that moment.

        Raises:
            Refusal: as :meth:`reserve` would.
        """
        ...

    async def standing(self, policies: Sequence[Policy]) -> Standing:
        """Return what is left, without changing anything."""
        ...

    async def reap(self, ttl_s: float) -> int:
        """Release reservations that nobody retried for ``ttl_s`` after their lease; count them."""
        ...

    async def verify(self) -> list[Mismatch]:
        """Return every counter that is not the sum of its entries: an empty list is good."""
        ...

    async def totals(self) -> Totals:
        """Return every counter and the latest entry's id, as they were at one moment."""
        ...

    async def entries(self, after: str = "", limit: int = 1000) -> list[Entry]:
        """Return up to ``limit`` entries that came after the one whose id is ``after``."""
        ...

    async def spend(self) -> list[AccountSpend]:
        """Return what each key has bought, under each plan."""
        ...

    async def key(self, key_id: str) -> KeyRecord | None:
        """Return the record of an API key."""
        ...

    async def keys(self) -> list[KeyRecord]:
        """Return all API keys, oldest first."""
        ...

    async def add_key(self, record: KeyRecord) -> None:
        """Keep a new API key."""
        ...

    async def revoke_key(self, key_id: str) -> bool:
        """Revoke an API key; False when there is none of that id."""
        ...

    async def plan(self, name: str, version: int | None = None) -> PlanRecord | None:
        """Return a version of a plan, the latest one unless given."""
        ...

    async def plans(self) -> list[PlanRecord]:
        """Return the latest version of every plan, by name."""
        ...

    async def plan_history(self, name: str) -> list[PlanRecord]:
        """Return all versions of a plan, oldest first."""
        ...

    async def add_plan(self, record: PlanRecord) -> bool:
        """Keep a new version; False, and no change, unless it follows the latest one by 1.

        ``record.at`` is set by the ledger's clock.
        """
        ...

    async def account_state(self, account: str) -> str:
        """Return the defence state of an account; empty at first."""
        ...

    async def account_states(self) -> dict[str, str]:
        """Return the defence state of every account that was ever given one."""
        ...

    async def set_account_state(self, account: str, state: str) -> None:
        """Keep the defence state that reservations of ``account`` are made under from now on."""
        ...

    async def watched(self, account: str) -> Watched:
        """Return what is remembered of an account, with the version to change it at."""
        ...

    async def keep_watched(
        self, account: str, version: int, memory: bytes, state: str, notes: Sequence[Note] = ()
    ) -> bool:
        """Replace memory and state and append ``notes``, all or none.

        False, and no change, unless the account is still at ``version``. Any change counts the
        version up by 1, :meth:`set_account_state` included.
        """
        ...

    async def notes(
        self,
        account: str,
        kind: NoteKind | None = None,
        after: str = "",
        limit: int = 1000,
        *,
        latest: bool = False,
    ) -> list[Note]:
        """Return up to ``limit`` notes that came after the one whose id is ``after``, in order.

        Of more than that the first ones, or the last ones if ``latest``.
        """
        ...

    async def claim(self, name: str, value: str) -> str:
        """Keep ``value`` under ``name`` unless there is one; return what is kept."""
        ...

    async def now(self) -> float:
        """Return the ledger's clock, in seconds since 1970."""
        ...

    async def ping(self) -> None:
        """Return when the ledger can be written."""
        ...

    async def aclose(self) -> None:
        """Finish what was handed in, and let go of the backend."""
        ...
