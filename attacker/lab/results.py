"""What the laboratory found, as frozen models that are written as JSON and CSV."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from shared.checkpoint import write_atomically
from shared.config import Frozen
from shared.metrics import Interval

Verdict = Literal["above", "below", "undecided"]
"""Whether a campaign's figure lies above the baseline's: its 95 % interval excludes zero or not."""


class Estimate(Frozen):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, interval: Interval) -> "Estimate":
        """Return the estimate that ``interval`` holds."""
        return cls(value=interval.value, low=interval.low, high=interval.high)


class SpeakerRecall(Frozen):
    """Recall of one speaker's test clips."""

    label: int
    name: str
    clips: int
    recall: Estimate | None
    """None where the test split has no clip of the speaker."""


class MarkResult(Frozen):
    """One surrogate: what it knows after ``queries`` queries."""

    queries: int
    volume: int
    """Answers kept for training."""
    coverage: float
    """Share of the K labels that the victim gave to at least one query."""
    kept_coverage: float
    """Share of the K labels among the kept answers."""
    checkpoint: str
    accuracy: Estimate
    fidelity: Estimate
    kl_nats: Estimate
    """Mean divergence of the surrogate's probabilities from the victim's."""
    recall: tuple[SpeakerRecall, ...]


class CampaignResult(Frozen):
    """One campaign with its surrogates, in order of their queries."""

    name: str
    source: str
    """Kind of its query source."""
    sampler: str
    """Kind of its sampler."""
    budget: int
    queries: int
    """Clips that the victim answered, by the journal."""
    volume: int
    coverage: float
    stopped: str | None
    """Why the campaign ended before its budget was spent; None where it did not."""
    refusals: dict[str, int]
    """Requests refused, by problem code."""
    retries: int
    marks: tuple[MarkResult, ...]

    @property
    def last(self) -> MarkResult | None:
        """The surrogate at the most queries, if there is any."""
        return self.marks[-1] if self.marks else None


class Comparison(Frozen):
    """A campaign against the baseline at the same number of queries, paired clip by clip."""

    campaign: str
    baseline: str
    queries: int
    accuracy: Estimate
    """Difference of accuracies, campaign minus baseline."""
    accuracy_verdict: Verdict
    fidelity: Estimate
    fidelity_verdict: Verdict


class VictimResult(Frozen):
    """The victim on its own test split."""

    checkpoint: str
    labels: tuple[str, ...]
    test_clips: int
    sample_rate_hz: int
    clip_samples: int
    accuracy: Estimate
    recall: tuple[SpeakerRecall, ...]


class Account(Frozen):
    """What the server's ledger says of the key that paid for the campaigns."""

    account: str
    plan: str
    budget: int | None
    spent: int
    price_per_clip: float


class Results(Frozen):
    """Everything that the laboratory measured in one run."""

    version: Literal[1] = 1
    run: str
    seed: int
    resamples: int
    victim: VictimResult
    campaigns: tuple[CampaignResult, ...]
    baseline: str | None
    """The proxy-only campaign, if the run has one."""
    comparisons: tuple[Comparison, ...]
    account: Account | None = None
    account_problem: str | None = None
    """Why the ledger did not answer, though a key was given; None where it did, or none was."""

    @property
    def queries(self) -> int:
        """Clips answered in all campaigns."""
        return sum(campaign.queries for campaign in self.campaigns)

    def campaign(self, name: str) -> CampaignResult:
        """Return the campaign called ``name``.

        Raises:
            KeyError: there is none.
        """
        for campaign in self.campaigns:
            if campaign.name == name:
                return campaign
        raise KeyError(name)


def write_results(results: Results, folder: Path) -> None:
    """Write ``results.json`` and its tables (``marks.csv``, ``recall.csv``, ...) to ``folder``."""
    text = results.model_dump_json(indent=2) + "\n"
    write_atomically(folder / "results.json", text.encode())
    write_csv(folder / "marks.csv", _mark_rows(results))
    write_csv(folder / "recall.csv", _recall_rows(results))
    write_csv(folder / "comparisons.csv", _comparison_rows(results))
    write_csv(folder / "refusals.csv", _refusal_rows(results))


def read_results(folder: Path) -> Results:
    """Read what :func:`write_results` wrote."""
    return Results.model_validate_json((folder / "results.json").read_text(encoding="utf-8"))


def write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows of equal keys as a CSV file; no rows leave an empty file."""
    listed = list(rows)
    text = io.StringIO()
    if listed:
        writer = csv.DictWriter(text, fieldnames=list(listed[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in listed)
    write_atomically(path, text.getvalue().encode())


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t"):
        return "'" + value  # a spreadsheet must not take a name for a formula
    return value


def _spread(name: str, estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {name: "", f"{name}_low": "", f"{name}_high": ""}
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _mark_rows(results: Results) -> Iterable[dict[str, Any]]:
    for campaign in results.campaigns:
        for mark in campaign.marks:
            yield {
                "campaign": campaign.name,
                "queries": mark.queries,
                "volume": mark.volume,
                "coverage": mark.coverage,
                "kept_coverage": mark.kept_coverage,
                **_spread("accuracy", mark.accuracy),
                **_spread("fidelity", mark.fidelity),
                **_spread("kl_nats", mark.kl_nats),
                "checkpoint": mark.checkpoint,
            }


def _recall_rows(results: Results) -> Iterable[dict[str, Any]]:
    for speaker in results.victim.recall:
        yield _recall_row("victim", "", speaker)
    for campaign in results.campaigns:
        for mark in campaign.marks:
            for speaker in mark.recall:
                yield _recall_row(campaign.name, mark.queries, speaker)


def _recall_row(model: str, queries: int | str, speaker: SpeakerRecall) -> dict[str, Any]:
    return {
        "model": model,
        "queries": queries,
        "label": speaker.label,
        "speaker": speaker.name,
        "clips": speaker.clips,
        **_spread("recall", speaker.recall),
    }


def _comparison_rows(results: Results) -> Iterable[dict[str, Any]]:
    for item in results.comparisons:
        yield {
            "campaign": item.campaign,
            "baseline": item.baseline,
            "queries": item.queries,
            **_spread("accuracy_difference", item.accuracy),
            "accuracy_verdict": item.accuracy_verdict,
            **_spread("fidelity_difference", item.fidelity),
            "fidelity_verdict": item.fidelity_verdict,
        }


def _refusal_rows(results: Results) -> Iterable[dict[str, Any]]:
    for campaign in results.campaigns:
        for code, count in sorted(campaign.refusals.items()):
            yield {"campaign": campaign.name, "code": code, "requests": count}
