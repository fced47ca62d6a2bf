"""The decided trends in words: how many hold, and which are the paper's and which are ours."""

from collections.abc import Iterable, Sequence

from attacker.lab.paper.claims import Decision
from attacker.lab.paper.compare import Verdict
from attacker.lab.paper.findings import PaperResults, TableResult
from attacker.lab.report.words import count

VERDICTS: tuple[Verdict, ...] = ("holds", "does not hold", "not decided")


def headline(results: PaperResults) -> str:
    """Say in a sentence each how many of the paper's trends hold here, and of what we asked."""
    told = [
        _tally(decisions, said)
        for decisions, said in (
            (of_paper(results), "the paper states"),
            (of_ours(results), "we asked about"),
        )
        if decisions
    ]
    return " ".join(told) or "No table could be measured yet."


def _tally(decisions: Sequence[Decision], said: str) -> str:
    number = tally(decisions)
    holds, fails, open_ = (number[verdict] for verdict in VERDICTS)
    return (
        f"Of {count(len(decisions), 'trend')} that {said}, {holds} "
        f"{'holds' if holds == 1 else 'hold'} here, {fails} "
        f"{'does' if fails == 1 else 'do'} not, and {open_} "
        f"{'is' if open_ == 1 else 'are'} not decided."
    )


def tally(decisions: Iterable[Decision]) -> dict[Verdict, int]:
    """Return how many of ``decisions`` have each verdict."""
    verdicts = [one.verdict for one in decisions]
    return {verdict: verdicts.count(verdict) for verdict in VERDICTS}


def of_paper(results: PaperResults) -> list[Decision]:
    """Return the decisions on what the paper says, of all tables that were measured."""
    return [decision for table in results.tables for decision in table.of_paper]


def of_ours(results: PaperResults) -> list[Decision]:
    """Return the decisions on what we asked and the paper does not say."""
    return [decision for table in results.tables for decision in table.of_ours]


def groups(table: TableResult) -> list[tuple[str, tuple[Decision, ...]]]:
    """Return the decisions of ``table`` under the headings that say whose claims they are."""
    both = (("What the paper says of it", table.of_paper), ("What we asked of it", table.of_ours))
    return [(heading, decisions) for heading, decisions in both if decisions]
