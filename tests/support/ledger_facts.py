"""What a ledger says was sold, read through its protocol: the same for every backend."""

from collections import defaultdict
from dataclasses import dataclass

from victim_service.ledger import Ledger, open_ledger

_PAGE = 1000


@dataclass(frozen=True)
class Sold:
    """What the entries of one idempotency key add up to."""

    charged: int
    """Clips charged and not given back."""
    commits: int
    """How often it was committed: 1 for a query that was answered."""


async def sold_by_name(url: str) -> dict[str, Sold]:
    """Add up the entries of the ledger at ``url`` by idempotency key, and see that it adds up.

    Raises:
        AssertionError: a counter is not the sum of its entries.
    """
    ledger = open_ledger(url, 60.0, create=False)
    try:
        assert await ledger.verify() == []
        return await _sold(ledger)
    finally:
        await ledger.aclose()


async def _sold(ledger: Ledger) -> dict[str, Sold]:
    charged: dict[str, int] = defaultdict(int)
    commits: dict[str, int] = defaultdict(int)
    after = ""
    while page := await ledger.entries(after, _PAGE):
        after = page[-1].id
        for entry in page:
            name = entry.idempotency.removeprefix("client:")
            charged[name] += entry.delta
            commits[name] += entry.kind == "commit"
    return {name: Sold(charged[name], commits[name]) for name in charged}
