"""Doing the work that a victim asks for: a nonce whose hash begins with enough zeros."""

import threading
import time
from dataclasses import dataclass
from hashlib import sha256
from itertools import count

from attacker.errors import ProofTooHard

MOST_BITS = 24
"""Bits above which a challenge is not taken up: a minute or so of one core."""
_STOP_EVERY = 4096
_DIGEST_BITS = 256
_LUCK = 64
"""Times the mean number of hashes after which the search ends, too soon once in e^64."""


@dataclass
class Work:
    """What was done for one victim, or for one challenge."""

    proofs: int = 0
    hashes: int = 0
    seconds: float = 0.0
    """Of one core, added up."""

    def add(self, other: "Work") -> None:
        """Add what was done elsewhere."""
        self.proofs += other.proofs
        self.hashes += other.hashes
        self.seconds += other.seconds


@dataclass(frozen=True)
class Solved:
    """A proof, and what it took."""

    proof: str
    """``<challenge>.<nonce>``, the value of the header."""
    work: Work


def solve(
    challenge: str,
    bits: int,
    *,
    most_bits: int = MOST_BITS,
    stop: threading.Event | None = None,
) -> Solved:
    """Return a proof of ``bits`` bits, after 2^bits hashes in the mean; runs on one core.

    Raises:
        ProofTooHard: more than ``most_bits`` are asked for, or ``stop`` was set meanwhile.
    """
    check(bits, most_bits)
    begun = time.perf_counter()
    start = f"{challenge}.".encode()
    # Digests of as many zero bits are those below it, as numbers and so as bytes.
    limit = (1 << (_DIGEST_BITS - bits)).to_bytes(_DIGEST_BITS // 8 + 1, "big")
    for tried in count():
        if tried % _STOP_EVERY == 0 and stop is not None and stop.is_set():
            raise ProofTooHard("the search for a proof was stopped. Send the batch again.")
        if tried >= _LUCK << bits:
            raise ProofTooHard(f"no proof of {bits} bits was found. Send the batch again.")
        if b"\0" + sha256(b"%b%d" % (start, tried)).digest() < limit:
            break
    work = Work(1, tried + 1, time.perf_counter() - begun)
    return Solved(f"{challenge}.{tried}", work)


def check(bits: int, most_bits: int) -> None:
    """Return when a challenge of ``bits`` bits is to be taken up.

    Raises:
        ProofTooHard: it asks for more than ``most_bits``.
    """
    if bits > most_bits:
        raise ProofTooHard(
            f"the victim asks for a proof of {bits} bits, about {2.0**bits:.1e} hashes, and "
            f"{most_bits} bits are the most that is done here. Ask for smaller batches, or stop."
        )
