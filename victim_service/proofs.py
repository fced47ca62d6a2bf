"""Proofs of work on the wire: what is asked for, and whether it was done.

A challenge is no state of the service: it says until when it holds, and is signed for one account,
one API key, one version of a plan, one idempotency key and the digest of one body. So a proof pays
for one query and no other, on any replica; and the query itself is bought only once, by its
idempotency record. What was answered is told again without work. Everything else is asked for it at
every sale, a retry included: its proof holds as long as its challenge. And nobody is asked to work
for what could not be sold to him.

A proof is weighed against the price of work at the moment when it is shown, whatever the price was
when the challenge was made.
"""

import base64
import binascii
import hmac
import struct
from dataclasses import dataclass

from shared.proof import MOST_BITS, split, worth
from victim_service.account_state import AccountState
from victim_service.defences.base import DefenceSpec
from victim_service.defences.proof_of_work import ProofOfWorkSpec
from victim_service.errors import Refusal
from victim_service.ledger.base import Ledger, Query

_HEAD = struct.Struct(">d")
_MAC_BYTES = 16
_VALID_FOR_S = 300.0


@dataclass(frozen=True, slots=True)
class Demand:
    """Work that a query must prove."""

    bits: int
    valid_for_s: float = _VALID_FOR_S
    """Time from now in which it may be done."""


def asks_for_state(chain: tuple[DefenceSpec, ...]) -> bool:
    """Whether the work depends on what the account has had."""
    return any(spec.base is not None for spec in _of(chain))


def demand(
    chain: tuple[DefenceSpec, ...], state: AccountState, clips: int, *, at_least: int = 0
) -> Demand | None:
    """Return the work for ``clips`` clips under a chain of defences; None when there is none.

    ``at_least`` bits a clip are asked for whatever the chain says. Of a batch, each doubling of its
    clips is one bit more.
    """
    specs = _of(chain)
    bits = max([at_least, *(spec.bits_for(state) for spec in specs)])
    if bits == 0:
        return None
    valid_for_s = min((spec.valid_for_s for spec in specs), default=_VALID_FOR_S)
    return Demand(min(bits + (clips - 1).bit_length(), MOST_BITS), valid_for_s)


async def require(ledger: Ledger, secret: bytes, query: Query, wanted: Demand, proof: str) -> None:
    """Return when ``proof`` shows the work for ``query``, or when the query is a replay.

    Raises:
        Refusal: proof-required, with a new challenge; or why the ledger would not sell it.
    """
    now = await ledger.now()
    why = _fault(secret, query, proof, wanted.bits, now)
    if not why or await ledger.would_replay(query):
        return
    challenge = make_challenge(secret, query, now + wanted.valid_for_s)
    raise Refusal("proof-required", why, members={"challenge": challenge, "bits": wanted.bits})


def make_challenge(secret: bytes, query: Query, until: float) -> str:
    """Return the challenge for ``query`` that holds ``until`` (s since 1970)."""
    head = _HEAD.pack(until)
    return base64.urlsafe_b64encode(head + _sign(secret, query, head)).rstrip(b"=").decode()


def _fault(secret: bytes, query: Query, proof: str, bits: int, now: float) -> str:
    """Return what is wrong with ``proof``, of which ``bits`` bits are asked; empty when nothing."""
    if not proof:
        return "Find a nonce for the challenge, and send the query again with Earshot-Proof."
    parts = split(proof)
    if parts is None:
        return "Write Earshot-Proof as <challenge>.<nonce>, the nonce in digits and small letters."
    challenge, nonce = parts
    try:
        whole = base64.b64decode(challenge + "=" * (-len(challenge) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        whole = b""
    head, signature = whole[: _HEAD.size], whole[_HEAD.size :]
    if len(head) != _HEAD.size or not hmac.compare_digest(signature, _sign(secret, query, head)):
        return "The proof belongs to another query. Answer the challenge of this one."
    (until,) = _HEAD.unpack(head)
    if now >= until:
        return "The challenge has expired. Answer the new one."
    if worth(challenge, nonce) < bits:
        return "The proof is worth less than is asked for now. Answer the new challenge."
    return ""


def _sign(secret: bytes, query: Query, head: bytes) -> bytes:
    # With what decides the price: the work of a cheap plan must not pay on a dear one.
    sold = (query.key_id, query.plan, str(query.plan_version))
    named = (part.encode() for part in ("proof", query.account, query.idempotency, *sold))
    parts = (*named, query.payload, head)
    # Each part with its length: no two lists of parts read the same.
    text = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return hmac.digest(secret, text, "sha256")[:_MAC_BYTES]


def _of(chain: tuple[DefenceSpec, ...]) -> list[ProofOfWorkSpec]:
    return [spec for spec in chain if isinstance(spec, ProofOfWorkSpec)]
