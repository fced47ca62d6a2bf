"""What the Redis ledger keeps beside queries: keys, plans, claims, and its own record."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from victim_service.ledger import reconcile
from victim_service.ledger import redis_scripts as scripts
from victim_service.ledger.patience import unreachable
from victim_service.ledger.records import (
    AccountSpend,
    Entry,
    KeyRecord,
    Mismatch,
    PlanRecord,
    Totals,
)
from victim_service.ledger.redis_link import Link, Word
from victim_service.ledger.redis_scripts import PREFIX, Script
from victim_service.ledger.redis_start import open_redis

_CLAIMS = f"{PREFIX}claims"
_ENTRIES = f"{PREFIX}entries"
_KEYS = f"{PREFIX}keys"
_PINGED = f"{PREFIX}pinged"
_PLANS = f"{PREFIX}plans"
_REVOKED = f"{PREFIX}revoked"
_SPENT = f"{PREFIX}spent"
_USAGE = f"{PREFIX}usage"

Command = tuple[Word, ...]


class RedisRegistry:
    """The part of the ``Ledger`` protocol that is not about queries, and the calls for the rest."""

    def __init__(self, url: str, timeout_s: float = 0.9, *, create: bool = True) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._born = open_redis(url, create=create)
        self._open_link: Link | None = None
        self._closed = False

    async def verify(self) -> list[Mismatch]:
        """Compare each counter with the sum of its entries."""
        return await reconcile.verify(self)  # type: ignore[arg-type]  # its subclass is a Ledger

    async def totals(self) -> Totals:
        """Return every counter and the latest entry's id."""
        _, (spent, usage, latest) = await self._calls(
            ("HGETALL", _SPENT), ("HGETALL", _USAGE), ("XREVRANGE", _ENTRIES, "+", "-", "COUNT", 1)
        )
        counters = {subject: int(clips) for subject, clips in _pairs(spent).items()}
        last = latest[0][0].decode() if latest else ""
        return Totals(counters, _spend(usage), last)

    async def entries(self, after: str = "", limit: int = 1000) -> list[Entry]:
        """Return entries that came after the one whose id is ``after``."""
        start = f"({after}" if after else "-"
        _, (found,) = await self._calls(("XRANGE", _ENTRIES, start, "+", "COUNT", limit))
        return [_entry(number.decode(), _pairs(fields)) for number, fields in found]

    async def spend(self) -> list[AccountSpend]:
        """Return what each key has bought, under each plan."""
        _, (usage,) = await self._calls(("HGETALL", _USAGE))
        return _spend(usage)

    async def key(self, key_id: str) -> KeyRecord | None:
        """Return the record of an API key."""
        now, (kept, revoked) = await self._calls(
            ("HGET", _KEYS, key_id), ("HGET", _REVOKED, key_id)
        )
        return None if kept is None else _key(kept, revoked, now)

    async def keys(self) -> list[KeyRecord]:
        """Return all API keys, oldest first."""
        now, (kept, revoked) = await self._calls(("HGETALL", _KEYS), ("HGETALL", _REVOKED))
        revocations = _pairs(revoked)
        records = [_key(text, revocations.get(name), now) for name, text in _pairs(kept).items()]
        return sorted(records, key=lambda record: (record.issued_at, record.key_id))

    async def add_key(self, record: KeyRecord) -> None:
        """Keep a new API key."""
        fields = (record.account, record.plan, record.scope, record.budget, record.issued_at)
        document = json.dumps(
            [record.key_id, record.digest.hex(), *fields, record.expires_at, record.revoked_at]
        )
        _, (_, kept) = await self._calls(
            ("HSETNX", _KEYS, record.key_id, document), ("HGET", _KEYS, record.key_id)
        )
        if kept != document.encode():
            raise unreachable(f"there is another key of id {record.key_id}")

    async def revoke_key(self, key_id: str) -> bool:
        """Revoke an API key; False when there is none of that id."""
        return bool(await self._run(scripts.REVOKE, key_id))

    async def plan(self, name: str, version: int | None = None) -> PlanRecord | None:
        """Return a version of a plan, the latest one unless given."""
        if version is not None and version < 1:
            return None
        versions = _versions(name)
        place = -1 if version is None else version - 1
        _, (count, kept) = await self._calls(("LLEN", versions), ("LINDEX", versions, place))
        return None if kept is None else _plan(name, version or count, kept)

    async def plans(self) -> list[PlanRecord]:
        """Return the latest version of every plan, by name."""
        _, (names,) = await self._calls(("HKEYS", _PLANS))
        latest = await asyncio.gather(*(self.plan(name.decode()) for name in sorted(names)))
        return [record for record in latest if record is not None]

    async def plan_history(self, name: str) -> list[PlanRecord]:
        """Return all versions of a plan, oldest first."""
        _, (kept,) = await self._calls(("LRANGE", _versions(name), 0, -1))
        return [_plan(name, place, one) for place, one in enumerate(kept, start=1)]

    async def add_plan(self, record: PlanRecord) -> bool:
        """Keep a new version, if it follows the latest one by 1."""
        words = (record.name, record.version, record.source, record.document)
        # Sent twice it would say that somebody else was quicker.
        return bool(await self._run(scripts.ADD_PLAN, *words, repeatable=False))

    async def claim(self, name: str, value: str) -> str:
        """Keep ``value`` under ``name`` unless there is one; return what is kept."""
        _, (_, kept) = await self._calls(("HSETNX", _CLAIMS, name, value), ("HGET", _CLAIMS, name))
        return str(kept.decode())

    async def now(self) -> float:
        """Return the ledger's clock, in seconds since 1970."""
        return (await self._calls())[0]

    async def ping(self) -> None:
        """Return when Redis takes writes."""
        await self._calls(("SET", _PINGED, 1))

    async def _run(self, script: Script, *words: Word, repeatable: bool = True) -> Any:
        link = self._link()
        return await link.wait(link.submit(script, words, repeatable=repeatable))

    async def _calls(self, *commands: Command) -> tuple[float, list[Any]]:
        """Run plain commands at one moment; return it, and their replies."""
        words = [word for command in commands for word in (len(command), *command)]
        now, *replies = await self._run(scripts.CALLS, *words)
        return float(now), replies

    def _link(self) -> Link:
        """Return the connections of the running event loop; one that ended took its own along."""
        if self._closed:
            raise unreachable("it is closed")
        link = self._open_link
        if link is None or link.loop is not asyncio.get_running_loop():
            link = self._open_link = Link(self._url, self._born, self._timeout_s)
        return link

    async def _close_link(self) -> None:
        self._closed = True
        link, self._open_link = self._open_link, None
        if link is not None and link.loop is asyncio.get_running_loop():
            await link.close()


def _versions(name: str) -> str:
    return f"{PREFIX}plan:{name}"


def _pairs(flat: Sequence[bytes]) -> dict[str, bytes]:
    names = [name.decode() for name in flat[::2]]
    return dict(zip(names, flat[1::2], strict=True))


def _entry(number: str, fields: dict[str, bytes]) -> Entry:
    words = {name: value.decode() for name, value in fields.items()}
    return Entry(
        id=number,
        at=float(words["at"]),
        kind=words["kind"],
        account=words["account"],
        key_id=words["key_id"],
        plan=words["plan"],
        plan_version=int(words["plan_version"]),
        idempotency=words["idempotency"],
        clips=int(words["clips"]),
        delta=int(words["delta"]),
    )


def _spend(usage: Sequence[bytes]) -> list[AccountSpend]:
    rows: dict[tuple[str, ...], dict[str, bytes]] = defaultdict(dict)
    for name, value in _pairs(usage).items():
        what, *payer = name.split("\n", 3)
        rows[tuple(payer)][what] = value
    return [
        AccountSpend(
            account=account,
            key_id=key_id,
            plan=plan,
            spent=int(row.get("spent", 0)),
            queries=int(row.get("queries", 0)),
            audited=int(row.get("audited", 0)),
            last_at=float(row["last_at"]),
        )
        for (account, key_id, plan), row in sorted(rows.items())
    ]


def _key(kept: bytes, revoked: bytes | None, now: float) -> KeyRecord:
    key_id, digest, *fields = json.loads(kept)
    record = KeyRecord(key_id, bytes.fromhex(digest), *fields)
    expired = record.expires_at is not None and record.expires_at <= now
    revoked_at = record.revoked_at if revoked is None else float(revoked)
    return replace(record, expired=expired, revoked_at=revoked_at)


def _plan(name: str, version: int, kept: bytes) -> PlanRecord:
    at, source, document = kept.decode().split("\n", 2)
    return PlanRecord(name, version, document, source, float(at))
