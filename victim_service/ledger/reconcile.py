"""Reconciliation: counters against the entries that they were made from."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping

from victim_service.ledger.base import GLOBAL_SUBJECT, Ledger, account_subject, key_subject
from victim_service.ledger.records import Entry, Mismatch, Totals

_PAGE = 2000


async def pages(ledger: Ledger, after: str, last: str) -> AsyncIterator[list[Entry]]:
    """Yield the entries behind the id ``after`` up to the id ``last``, a page at a time.

    A page is one short read, so that a ledger of any size can be read while it sells.
    """
    while after != last:
        page = await ledger.entries(after, _PAGE)
        ids = [entry.id for entry in page]
        if last in ids:
            page = page[: ids.index(last) + 1]
        if not page:
            return  # fewer than there should be: the counters will tell
        yield page
        after = page[-1].id


async def verify(ledger: Ledger) -> list[Mismatch]:
    """Return every counter that is not the sum of its entries, while others may go on buying."""
    totals = await ledger.totals()
    sums: Counter[str] = Counter()
    async for page in pages(ledger, "", totals.last_entry):
        for entry in page:
            _add(sums, entry)
    counters = _counters(totals)
    return [
        Mismatch(subject, counters.get(subject, 0), sums[subject])
        for subject in sorted(sums.keys() | counters.keys())
        if counters.get(subject, 0) != sums[subject]
    ]


def _add(sums: Counter[str], entry: Entry) -> None:
    for subject in (key_subject(entry.key_id), account_subject(entry.account), GLOBAL_SUBJECT):
        sums[subject] += entry.delta
    usage = f"usage:{entry.account}/{entry.key_id}/{entry.plan}"
    sums[f"{usage} spent"] += entry.delta
    sums[f"{usage} queries"] += entry.kind == "commit"
    sums[f"{usage} audited"] += entry.clips if entry.kind == "audit" else 0


def _counters(totals: Totals) -> Mapping[str, int]:
    counters = dict(totals.spent)
    for row in totals.usage:
        usage = f"usage:{row.account}/{row.key_id}/{row.plan}"
        counters[f"{usage} spent"] = row.spent
        counters[f"{usage} queries"] = row.queries
        counters[f"{usage} audited"] = row.audited
    return counters
