"""Short and long forms of one test: long ones run when EARSHOT_TORTURE is 1."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

TORTURE = os.environ.get("EARSHOT_TORTURE") == "1"
_ROUND = 2_000

ThingT = TypeVar("ThingT")


def fuzz(
    things: SearchStrategy[ThingT],
    check: Callable[[ThingT], object],
    *,
    examples: int,
    long_s: float,
) -> None:
    """Check ``examples`` things, or as many as there is time for in ``long_s`` seconds of torture.

    A round of the short form is the same every time; the long form
    takes a new seed each round, and Hypothesis prints the one that failed.
    """
    begun, rounds = time.monotonic(), 0
    while rounds == 0 or (TORTURE and time.monotonic() - begun < long_s):

        @seed(rounds if not TORTURE else int(1e6 * time.time()))
        @settings(
            max_examples=max(_ROUND, examples) if TORTURE else examples,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        )
        @given(things)
        def one(thing: ThingT) -> None:
            check(thing)

        one()
        rounds += 1
