"""API keys: ``lab_<id>_<secret>_<checksum>``, shown once, kept as SHA-256.

A slow hash would buy nothing: the secret has 256 random bits. The checksum lets a mistyped key be
refused without asking the ledger.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from shared.contract import Scope
from victim_service.errors import Refusal
from victim_service.ledger.base import Ledger
from victim_service.ledger.records import KeyRecord

ValueT = TypeVar("ValueT")

_PREFIX = "lab"
_SHAPE = re.compile(r"lab_([0-9a-f]{12})_([0-9a-f]{64})_([0-9a-f]{8})", re.ASCII)
_CACHE_S = 1.0
_CACHE_KEYS = 4096
_STRANGERS_AT_ONCE = 32
"""Ids never seen before that the ledger is asked for at once."""
_STRANGER_WAIT_S = 0.1


def issue(
    account: str,
    plan: str,
    scope: Scope,
    *,
    budget: int | None = None,
    issued_at: float | None = None,
    expires_at: float | None = None,
) -> tuple[str, KeyRecord]:
    """Make a key and the record to keep of it. The key itself must be shown and forgotten."""
    key_id = secrets.token_hex(6)
    body = f"{_PREFIX}_{key_id}_{secrets.token_hex(32)}"
    key = f"{body}_{_checksum(body)}"
    record = KeyRecord(
        key_id=key_id,
        digest=_digest(key),
        account=account,
        plan=plan,
        scope=scope,
        budget=budget,
        issued_at=time.time() if issued_at is None else issued_at,
        expires_at=expires_at,
    )
    return key, record


async def issue_into(
    ledger: Ledger,
    account: str,
    plan: str | None,
    scope: Scope,
    *,
    budget: int | None = None,
    valid_for_s: float | None = None,
) -> tuple[str, KeyRecord]:
    """Make a key, keep its record in ``ledger``, and return both; times are the ledger's own.

    Only query keys have a plan; the others are named after their scope.
    """
    now = await ledger.now()
    key, record = issue(
        account,
        plan if scope == "query" and plan is not None else scope,
        scope,
        budget=budget,
        issued_at=now,
        expires_at=None if valid_for_s is None else now + valid_for_s,
    )
    await ledger.add_key(record)
    return key, record


def id_of(key: str) -> str | None:
    """Return the id in ``key``, or None where it is no key, or a mistyped one."""
    shape = _SHAPE.fullmatch(key)
    if shape is None or _checksum(key[: shape.start(3) - 1]) != shape[3]:
        return None
    return shape[1]


class KeyRing:
    """Checks presented keys against the ledger; a revocation is seen within a second.

    The ledger is asked once a second for each key in use, however many requests present it at
    once. An id that does not exist is remembered as long, and ids never seen before wait for one
    another, so that guessing keys cannot keep the ledger from those who pay. Memory is bounded.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, KeyRecord]] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._reads: dict[str, asyncio.Task[KeyRecord | None]] = {}
        self._strangers = asyncio.Semaphore(_STRANGERS_AT_ONCE)

    async def check(self, key: str) -> KeyRecord:
        """Return the record of a valid key.

        Raises:
            Refusal: invalid-key, which never tells what exactly is wrong; ledger-unreachable.
        """
        key_id = id_of(key)
        if key_id is None:
            raise Refusal("invalid-key")
        record = await self._record(key_id)
        if record is None or not hmac.compare_digest(record.digest, _digest(key)):
            raise Refusal("invalid-key")
        if record.state != "valid":
            raise Refusal("invalid-key")
        return record

    async def _record(self, key_id: str) -> KeyRecord | None:
        now = self._clock()
        known = self._known.get(key_id)
        if known is not None and now - known[0] < _CACHE_S:
            return known[1]
        missed_at = self._unknown.get(key_id)
        if missed_at is not None and now - missed_at < _CACHE_S:
            return None
        read = self._reads.get(key_id)
        if read is None:
            read = asyncio.create_task(self._read(key_id, stranger=known is None))
            self._reads[key_id] = read
            read.add_done_callback(lambda done: self._forget(key_id, done))
        # Shielded: one client that leaves must not take the answer from the others.
        return await asyncio.shield(read)

    async def _read(self, key_id: str, *, stranger: bool) -> KeyRecord | None:
        if stranger:
            try:
                async with asyncio.timeout(_STRANGER_WAIT_S):
                    await self._strangers.acquire()
            except TimeoutError:
                raise Refusal(
                    "ledger-unreachable",
                    "The ledger is busy with keys that it does not know yet. Retry later.",
                    retry_after_s=1.0,
                ) from None
        try:
            asked_at = self._clock()
            record = await self._ledger.key(key_id)
        finally:
            if stranger:
                self._strangers.release()
        if record is None:
            self._known.pop(key_id, None)
            _keep(self._unknown, key_id, asked_at)
        else:
            self._unknown.pop(key_id, None)
            _keep(self._known, key_id, (asked_at, record))
        return record

    def _forget(self, key_id: str, done: "asyncio.Task[KeyRecord | None]") -> None:
        del self._reads[key_id]
        if not done.cancelled():
            done.exception()  # all who waited may have left: then nobody else looks at it


def _keep(cache: "OrderedDict[str, ValueT]", key_id: str, value: ValueT) -> None:
    cache[key_id] = value
    cache.move_to_end(key_id)
    if len(cache) > _CACHE_KEYS:
        cache.popitem(last=False)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
