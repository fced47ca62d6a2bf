"""What the Redis ledger keeps of accounts: defence states, detectors' memories, and notes."""

from collections.abc import Sequence
from typing import Any

from victim_service.ledger import redis_scripts as scripts
from victim_service.ledger.base import KEPT_READINGS
from victim_service.ledger.records import Note, NoteKind, Watched
from victim_service.ledger.redis_link import Word
from victim_service.ledger.redis_registry import RedisRegistry
from victim_service.ledger.redis_scripts import PREFIX

_MEMORIES = f"{PREFIX}memories"
_STATES = f"{PREFIX}accounts"
_WATCHED = f"{PREFIX}watched"
_KINDS: tuple[NoteKind, ...] = ("reading", "step")


class RedisAccounts(RedisRegistry):
    """The part of the ``Ledger`` protocol that is about accounts."""

    async def account_state(self, account: str) -> str:
        """Return the defence state of an account."""
        _, (state,) = await self._calls(("HGET", _STATES, account))
        return "" if state is None else state.decode()

    async def account_states(self) -> dict[str, str]:
        """Return the defence state of every account."""
        _, (flat,) = await self._calls(("HGETALL", _STATES))
        words = [word.decode() for word in flat]
        return dict(zip(words[::2], words[1::2], strict=True))

    async def set_account_state(self, account: str, state: str) -> None:
        """Keep the defence state of an account."""
        await self._calls(("HSET", _STATES, account, state), ("HINCRBY", _WATCHED, account, 1))

    async def watched(self, account: str) -> Watched:
        """Return what is remembered of an account."""
        _, (version, memory, state) = await self._calls(
            ("HGET", _WATCHED, account), ("HGET", _MEMORIES, account), ("HGET", _STATES, account)
        )
        return Watched(int(version or 0), memory or b"", (state or b"").decode())

    async def keep_watched(
        self, account: str, version: int, memory: bytes, state: str, notes: Sequence[Note] = ()
    ) -> bool:
        """Replace memory and state and append ``notes``, if the account is at ``version``."""
        words: list[Word] = [account, version, memory, state, KEPT_READINGS]
        for note in notes:
            words += [note.kind, note.text]
        # Sent twice it would say that somebody else was quicker.
        return bool(await self._run(scripts.KEEP_WATCHED, *words, repeatable=False))

    async def notes(
        self,
        account: str,
        kind: NoteKind | None = None,
        after: str = "",
        limit: int = 1000,
        *,
        latest: bool = False,
    ) -> list[Note]:
        """Return notes of an account, in order."""
        start = f"({int(after)}-0" if after else "-"
        kinds = _KINDS if kind is None else (kind,)
        how = ("XREVRANGE", "+", start) if latest else ("XRANGE", start, "+")
        _, replies = await self._calls(
            *((how[0], _stream(one, account), *how[1:], "COUNT", limit) for one in kinds)
        )
        found = [
            _note(one, number, fields)
            for one, reply in zip(kinds, replies, strict=True)
            for number, fields in reply
        ]
        found.sort(key=lambda note: int(note.id))
        return found[-limit:] if latest else found[:limit]


def _stream(kind: NoteKind, account: str) -> str:
    return f"{PREFIX}notes:{kind}:{account}"


def _note(kind: NoteKind, number: bytes, fields: Sequence[Any]) -> Note:
    _, at, _, text = fields
    return Note(kind, text.decode(), number.decode().partition("-")[0], float(at))
