"""Waiting for a ledger, and for no longer than is promised."""

import asyncio
import os
import random
from typing import TypeVar

from victim_service.errors import Refusal

ResultT = TypeVar("ResultT")

# Not `secrets`: a token tells one holder of a lease from another, and never leaves the service. The
# system's own random numbers would cost each query a call that lets go of the interpreter's lock.
_tokens = random.Random()
os.register_at_fork(after_in_child=_tokens.seed)


def new_token() -> str:
    """Return what names one holder of a lease."""
    return f"{_tokens.getrandbits(64):016x}"


async def within(answer: "asyncio.Future[ResultT]", timeout_s: float) -> ResultT:
    """Return the outcome of ``answer``, which is given up when the time is over.

    Raises:
        Refusal: ledger-unreachable, at the latest when the time is over.
    """
    # Not by wait_for: it loses a cancellation that meets a result (3.11). asyncio.timeout would be
    # right, too, at several times the cost, for every query twice.
    clock = answer.get_loop().call_later(timeout_s, _give_up, answer)
    try:
        return await answer
    finally:
        clock.cancel()


def unreachable(reason: str) -> Refusal:
    """Return the refusal of a ledger that cannot be used."""
    refusal = Refusal("ledger-unreachable", retry_after_s=1.0)
    refusal.__cause__ = RuntimeError(reason)
    return refusal


def _give_up(answer: "asyncio.Future[ResultT]") -> None:
    if not answer.done():
        answer.set_exception(unreachable("no answer in time"))
