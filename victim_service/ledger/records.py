"""What a ledger keeps beside queries, as it is read: keys, plans, entries, notes and sums."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class KeyRecord:
    """An API key as it is kept: its digest, never the key."""

    key_id: str
    digest: bytes = field(repr=False)
    account: str
    plan: str
    scope: str
    budget: int | None
    """Overrides the plan's budget; None leaves it."""
    issued_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    expired: bool = False
    """By the ledger's clock, when the record was read."""

    @property
    def state(self) -> Literal["valid", "revoked", "expired"]:
        """Whether the key opens anything."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expired else "valid"


@dataclass(frozen=True)
class PlanRecord:
    """One version of a plan; versions of a name count up from 1 and never change."""

    name: str
    version: int
    document: str
    """The whole plan as JSON."""
    source: str
    """Who made it: ``file``, or ``admin:<key id>``."""
    at: float


@dataclass(frozen=True)
class Entry:
    """One line of the append-only record from which every counter can be made again."""

    id: str
    """Grows with every entry; opaque."""
    at: float
    kind: str
    """reserve, replay, commit, release, reap or audit; take-over, which charged nothing, in entries
    of earlier releases."""
    account: str
    key_id: str
    plan: str
    plan_version: int
    """Version under which the query was bought."""
    idempotency: str
    clips: int
    delta: int
    """What it added to the budgets' counters."""


NoteKind = Literal["reading", "step"]


@dataclass(frozen=True, slots=True)
class Note:
    """One line about an account: a detector's reading, or a step of its ladder."""

    kind: NoteKind
    text: str
    """JSON."""
    id: str = ""
    """Grows with the notes of an account; opaque; given by the ledger."""
    at: float = 0.0
    """By the ledger's clock."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What the detectors of an account remember, and its defence state."""

    version: int
    """Counts the changes; 0 for an account that nobody has watched."""
    memory: bytes = field(repr=False)
    state: str


@dataclass(frozen=True)
class Mismatch:
    """A counter that differs from the sum of its entries."""

    subject: str
    """Subject of a budget, or ``usage:<account>/<key id>/<plan> <field>``."""
    counter: int
    entries: int


@dataclass(frozen=True)
class AccountSpend:
    """What one account's key has bought."""

    account: str
    key_id: str
    plan: str
    spent: int
    """Units charged, including those still running."""
    queries: int
    """Distinct idempotency keys that were answered."""
    audited: int
    """Unmetered clips, of an audit key."""
    last_at: float = 0.0
    """Time of the latest entry, in seconds since 1970."""


@dataclass(frozen=True)
class Totals:
    """Every counter, and the entry up to which they count: all read at one moment."""

    spent: dict[str, int]
    """Units charged, by subject of a budget."""
    usage: list[AccountSpend]
    last_entry: str
    """Id of the latest entry; empty when there is none."""
