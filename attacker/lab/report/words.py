"""The report's sentences: what was found, in plain words, with every interval named."""

from dataclasses import dataclass

from attacker.lab.results import CampaignResult, Comparison, Estimate, Results
from attacker.waiting import counted

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Headline:
    """The report in two sentences, and the figures behind them."""

    finding: str
    verdict: str
    mood: str
    """``above``, ``below``, ``undecided`` or ``none``: how the verdict is marked."""
    campaign: str | None
    """The campaign that the verdict is about."""


def percent(value: float) -> str:
    """Return a share as a percentage with one decimal."""
    return f"{100 * value:.1f}{NBSP}%"


def points(value: float) -> str:
    """Return a difference of shares as signed percentage points, without the unit."""
    size = f"{abs(100 * value):.1f}"
    if size == "0.0":
        return size
    return (MINUS if value < 0 else "+") + size


def spread(estimate: Estimate) -> str:
    """Return an interval of shares, such as ``74.1 to 82.0 %``."""
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}{NBSP}%"


def points_spread(estimate: Estimate) -> str:
    """Return an interval of differences, such as ``+2.1 to +10.4``."""
    return f"{points(estimate.low)} to {points(estimate.high)}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun as :func:`counted` does, and never on two lines."""
    return counted(number, noun).replace(" ", NBSP, 1)


def short(text: str, length: int = 20) -> str:
    """Return ``text`` on one line, cut to ``length`` characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def squeeze(text: str, length: int = 20) -> str:
    """Return a speaker's name, its middle left out where it is longer than ``length``.

    Speakers of one corpus often share their first letters, so the last ones tell them apart.
    """
    text = " ".join(text.split())
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[-tail:]}"


def choose_subject(results: Results) -> CampaignResult | None:
    """Return the campaign that the verdict is about.

    It is the first WaveGAN campaign with a surrogate, else the first that is not the baseline, else
    the baseline.
    """
    trained = [campaign for campaign in results.campaigns if campaign.marks]
    rivals = [campaign for campaign in trained if campaign.name != results.baseline]
    for group in ([c for c in rivals if c.source == "wavegan"], rivals, trained):
        if group:
            return group[0]
    return None


def choose_best(results: Results) -> CampaignResult | None:
    """Return the campaign whose last surrogate agrees most with the victim: the worst leak."""
    trained = [campaign for campaign in results.campaigns if campaign.last is not None]
    return max(trained, key=lambda c: c.last.fidelity.value if c.last else 0.0, default=None)


def last_comparison(results: Results, campaign: str) -> Comparison | None:
    """Return the comparison of ``campaign`` with the baseline at the most queries, if any."""
    own = [item for item in results.comparisons if item.campaign == campaign]
    return max(own, key=lambda item: item.queries, default=None)


def headline(results: Results) -> Headline:
    """Say what was stolen, at what cost, and whether it beat the proxy-only campaign."""
    subject, best = choose_subject(results), choose_best(results)
    if subject is None or subject.last is None or best is None or best.last is None:
        volume = sum(campaign.volume for campaign in results.campaigns)
        finding = (
            f"No surrogate was trained: the campaigns bought {count(results.queries, 'answer')} "
            f"and kept {volume:,}."
        )
        advice = "A larger budget, a looser sampler or another source would give one to measure."
        return Headline(finding, advice, "none", None)
    finding = (
        f"For {count(best.last.queries, 'query')}, {best.name} bought a copy that gives the "
        f"victim's own answer on {percent(best.last.fidelity.value)} of unseen clips."
    )
    verdict, mood = _verdict(results, subject)
    return Headline(finding, verdict, mood, subject.name)


def _verdict(results: Results, subject: CampaignResult) -> tuple[str, str]:
    if results.baseline is None:
        return "The run has no proxy-only campaign, so there is nothing to compare it with.", "none"
    if subject.name == results.baseline:
        return (
            "Only the proxy-only baseline has a surrogate, so there is nothing to compare it with.",
            "none",
        )
    item = last_comparison(results, subject.name)
    if item is None:
        return (
            f"It cannot be compared with {results.baseline}: no two of their surrogates were "
            "trained at the same number of queries.",
            "none",
        )
    opening = f"At {count(item.queries, 'query')} {subject.name} is "
    tail = (
        f"{points(item.accuracy.value)} points of accuracy, 95{NBSP}% interval "
        f"{points_spread(item.accuracy)}"
    )
    if item.accuracy_verdict == "above":
        text = f"{opening}above {item.baseline}: {tail}."
    elif item.accuracy_verdict == "below":
        text = f"{opening}not above {item.baseline} but below it: {tail}."
    else:
        text = f"{opening}not shown to be above {item.baseline}. Not decided: {tail}, holds zero."
    return text + _fidelity_tail(item), item.accuracy_verdict


def _fidelity_tail(item: Comparison) -> str:
    same = item.fidelity_verdict == item.accuracy_verdict
    word = {"above": "above", "below": "below", "undecided": "not decided"}[item.fidelity_verdict]
    return (
        f" In fidelity it is {'also ' if same else ''}{word} "
        f"({points(item.fidelity.value)}; {points_spread(item.fidelity)})."
    )


def verdict_word(verdict: str) -> str:
    """Return a verdict as the table says it."""
    return {"above": "above", "below": "below", "undecided": "not decided"}[verdict]


def reconciliation(results: Results) -> str:
    """Say whether the server's ledger and the attacker's journal agree."""
    account, journal = results.account, results.queries
    if account is None and results.account_problem is not None:
        problem = results.account_problem.rstrip(".")
        return (
            f"A key was given, but the ledger could not be asked: {problem}. Make the report again "
            "with the key that paid, while the victim is up, to see whether ledger and journal "
            "agree."
        )
    if account is None:
        return (
            "The ledger was not asked, because the report was made without the key that paid. "
            "Give it by EARSHOT_KEY to see whether ledger and journal agree."
        )
    if account.spent == journal:
        return (
            f"The ledger charged {count(account.spent, 'clip')} and the journal holds "
            f"{count(journal, 'answer')}: they agree."
        )
    if account.spent > journal:
        return (
            f"The ledger charged {count(account.spent, 'clip')}, {account.spent - journal:,} more "
            f"than the {journal:,} answers in this run's journal: another run has used the same "
            "account, or this one has not finished. `earshot-attacker resume` collects what was "
            "paid."
        )
    return (
        f"The ledger charged {count(account.spent, 'clip')}, {journal - account.spent:,} fewer "
        f"than the {journal:,} answers in this run's journal: part of the run was paid from "
        "another account, or from another ledger."
    )


def stop_notes(results: Results) -> list[str]:
    """Say of each campaign whether and why it ended early, kept nothing or has no surrogate."""
    notes = []
    for campaign in results.campaigns:
        if campaign.stopped:
            notes.append(
                f"{campaign.name} stopped after {campaign.queries:,} of {campaign.budget:,} "
                f"queries: {campaign.stopped}. What it had bought was kept and measured."
            )
        if campaign.queries and not campaign.volume:
            notes.append(
                f"{campaign.name} kept none of its {count(campaign.queries, 'answer')}: its "
                f"sampler ({campaign.sampler}) refused them all."
            )
        if not campaign.marks:
            notes.append(f"{campaign.name} has no surrogate, so nothing of it could be scored.")
    return notes
