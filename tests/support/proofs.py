"""Proofs of work, found by trying."""

from shared.proof import worth


def solve(challenge: str, bits: int, first: int = 0) -> tuple[str, int]:
    """A proof, and the hashes that it took; told apart from the client's own code on purpose."""
    for tried in range(first, first + (64 << bits)):
        if worth(challenge, str(tried)) >= bits:
            return f"{challenge}.{tried}", tried - first + 1
    raise AssertionError("no luck")
