"""Proofs of work: what a hash must look like, for those who ask for one and those who pay.

A proof is the text ``<challenge>.<nonce>``. It is worth as many bits as its SHA-256 begins with
zeros, so that a proof of n bits takes 2^n hashes in the mean, and one to check.

Reference: Back, "Hashcash: a denial of service counter-measure", 2002.
"""

import hashlib
import re

MOST_BITS = 32
"""No service asks for more: it would take hours."""
_PROOF = re.compile(r"([A-Za-z0-9_-]{1,200})\.([0-9a-z]{1,20})", re.ASCII)


def leading_zero_bits(digest: bytes) -> int:
    """Return how many zero bits ``digest`` begins with, 0 to 8 a byte."""
    return 8 * len(digest) - int.from_bytes(digest, "big").bit_length()


def worth(challenge: str, nonce: str) -> int:
    """Return how many bits the proof ``<challenge>.<nonce>`` is worth."""
    return leading_zero_bits(hashlib.sha256(f"{challenge}.{nonce}".encode()).digest())


def split(proof: str) -> tuple[str, str] | None:
    """Return challenge and nonce of a proof; None when the text is none."""
    found = _PROOF.fullmatch(proof)
    return None if found is None else (found[1], found[2])
