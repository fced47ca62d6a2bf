"""The signed export: the ledger's entries as JSON lines, each chained to the one before.

Line n holds an entry and ``chain`` = HMAC-SHA256(key, chain of line n - 1 + the entry's canonical
JSON), where the key is HMAC-SHA256(secret, "earshot export"). So no line can be altered, dropped or
put elsewhere without the secret. What the chain cannot see is a file cut at a line's end: it looks
like one to which less was exported, so a check counts the entries that a file does not have. And a
ledger that was altered differs from a file that was exported before.
"""

import fcntl
import hmac
import json
import os
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from victim_service.errors import StartError
from victim_service.ledger import reconcile
from victim_service.ledger.base import Ledger
from victim_service.ledger.records import Entry

_AT_ONCE = 2000
_KEEP = "Keep file and ledger as evidence, and export to a new file."


@dataclass
class _Chain:
    """Signs lines in their order, and checks them."""

    key: bytes
    last: bytes = b""
    lines: int = 0
    size_bytes: int = 0
    last_id: str = ""

    def add(self, entry: Entry) -> bytes:
        """Return the line of ``entry``, with its end."""
        document = asdict(entry)
        self._advance(document)
        line = _canonical({**document, "chain": self.last.hex()}) + b"\n"
        self.size_bytes += len(line)
        return line

    def check(self, line: bytes) -> Entry | None:
        """Return the entry of the next line; None when the line is not that."""
        try:
            document = json.loads(line)
            told = bytes.fromhex(document.pop("chain"))
            entry = Entry(**document)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        self._advance(document)
        self.size_bytes += len(line)
        return entry if hmac.compare_digest(told, self.last) else None

    def _advance(self, document: dict[str, object]) -> None:
        self.last = hmac.digest(self.key, self.last + _canonical(document), "sha256")
        self.lines += 1
        self.last_id = str(document["id"])


@dataclass(frozen=True)
class Exported:
    """What an export did: lines that were there and are right, and lines added."""

    before: int
    added: int


async def export(ledger: Ledger, path: Path, secret: bytes) -> Exported:
    """Append to ``path`` every entry that is not there yet, after checking those that are.

    The ledger may go on selling; what it sells meanwhile may be left to the next export.

    Raises:
        StartError: what is there is not a true export of this ledger, or cannot be written.
        Refusal: ledger-unreachable.
    """
    last = (await ledger.totals()).last_entry
    try:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            chain = await _check(ledger, file, path, secret)
            file.truncate(chain.size_bytes)  # a line that a crash cut short is written anew
            before = chain.lines
            async for page in reconcile.pages(ledger, chain.last_id, last):
                file.write(b"".join(chain.add(entry) for entry in page))
                file.flush()
                os.fsync(file.fileno())
    except BlockingIOError as error:
        raise StartError(f"{path}: another export writes it. Wait until it is done.") from error
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}. Name a file that can be written.") from error
    return Exported(before, chain.lines - before)


@dataclass(frozen=True)
class Checked:
    """What a check found: lines that are right, and entries of the ledger that have none."""

    lines: int
    missing: int


async def check(ledger: Ledger, path: Path, secret: bytes) -> Checked:
    """Return how much of the ledger is in an export whose lines are all right.

    Raises:
        StartError: one is not; the message names the first such line.
        Refusal: ledger-unreachable.
    """
    last = (await ledger.totals()).last_entry
    try:
        with path.open("rb") as file:
            chain = await _check(ledger, file, path, secret)
            if chain.size_bytes != os.fstat(file.fileno()).st_size:
                raise StartError(
                    f"{path}: line {chain.lines + 1} is cut short, as a crash leaves it. Export "
                    "to it once more, which completes it."
                )
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}. Name an export of this ledger.") from error
    missing = 0
    async for page in reconcile.pages(ledger, chain.last_id, last):
        missing += len(page)
    return Checked(chain.lines, missing)


async def _check(ledger: Ledger, file: BinaryIO, path: Path, secret: bytes) -> _Chain:
    """Check every whole line of ``file`` against its chain and the ledger; return the chain."""
    chain = _Chain(hmac.digest(secret, b"earshot export", "sha256"))
    file.seek(0)
    lines = (line for line in file if line.endswith(b"\n"))
    while page := list(islice(lines, _AT_ONCE)):
        first, after = chain.lines + 1, chain.last_id
        told: list[Entry] = []
        for number, line in enumerate(page, start=first):
            entry = chain.check(line)
            if entry is None:
                raise StartError(f"{path}: line {number} {_why_unsigned(number)} {_KEEP}")
            told.append(entry)
        kept = await ledger.entries(after, len(told))
        for number, entry in enumerate(told, start=first):
            index = number - first
            if index >= len(kept):
                raise StartError(f"{path}: line {number} is no longer in the ledger. {_KEEP}")
            if kept[index] != entry:
                raise StartError(f"{path}: line {number} differs from the ledger. {_KEEP}")
    return chain


def _why_unsigned(number: int) -> str:
    if number == 1:
        return "was altered, or signed with another ledger's secret."
    return "was altered, or one before it is missing."


def _canonical(document: dict[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
