"""The laboratory's arithmetic: predictions on the test split -> figures with 95 % intervals."""

import math

import numpy as np

from attacker.lab.bundle import Bundle
from attacker.lab.records import CampaignRecord, SurrogateRecord
from attacker.lab.results import (
    CampaignResult,
    Comparison,
    Estimate,
    MarkResult,
    SpeakerRecall,
    Verdict,
    VictimResult,
)
from shared.metrics import RESAMPLES, bootstrap, confusion, coverage, kl
from shared.seeding import derive

_Z95 = 1.959964


class Ruler:
    """Scores models on one bundle; test clips are what its intervals resample.

    Every interval uses the same resampled clips, so the figures of two models differ by the
    models alone.
    """

    def __init__(
        self, bundle: Bundle, victim: np.ndarray, *, seed: int, resamples: int = RESAMPLES
    ) -> None:
        """Take the victim's probabilities (N, K) on the bundle's clips."""
        if victim.shape != (len(bundle.labels), bundle.n_classes):
            raise ValueError(
                f"the victim's answers are {victim.shape}, not "
                f"{(len(bundle.labels), bundle.n_classes)}. Delete the run's lab/cache folder."
            )
        self.bundle = bundle
        self.victim = victim
        self.victim_labels = victim.argmax(axis=1)
        self.seed = derive(seed, "lab")
        self.resamples = resamples

    def estimate(self, values: np.ndarray) -> Estimate:
        """Return the mean of ``values`` (N,), one a test clip, with its interval."""
        values = values.astype(np.float64)
        return Estimate.of(bootstrap(values, seed=self.seed, resamples=self.resamples))

    def score_victim(self) -> VictimResult:
        """Score the victim against the truth."""
        bundle = self.bundle
        return VictimResult(
            checkpoint=bundle.checkpoint,
            labels=bundle.names,
            test_clips=len(bundle.labels),
            sample_rate_hz=bundle.sample_rate_hz,
            clip_samples=bundle.clips.shape[1],
            accuracy=self.estimate(self.victim_labels == bundle.labels),
            recall=self._recall(self.victim_labels),
        )

    def score_mark(
        self, campaign: CampaignRecord, surrogate: SurrogateRecord, predicted: np.ndarray
    ) -> MarkResult:
        """Score the surrogate whose probabilities on the bundle's clips are ``predicted`` (N, K).

        Accuracy, fidelity and divergence are estimates over test clips; queries, volume and
        coverage are counts of what the campaign did, and have no interval.
        """
        seen = campaign.labels[: surrogate.queries]
        kept = seen[campaign.kept[: surrogate.queries]]
        labels = predicted.argmax(axis=1)
        return MarkResult(
            queries=surrogate.queries,
            volume=surrogate.volume,
            coverage=coverage(seen, self.bundle.n_classes),
            kept_coverage=coverage(kept, self.bundle.n_classes),
            checkpoint=surrogate.checkpoint,
            accuracy=self.estimate(labels == self.bundle.labels),
            fidelity=self.estimate(labels == self.victim_labels),
            kl_nats=self.estimate(kl(self.victim, predicted)),
            recall=self._recall(labels),
        )

    def score_campaign(
        self, campaign: CampaignRecord, marks: tuple[MarkResult, ...]
    ) -> CampaignResult:
        """Return the campaign's result with the ``marks`` of its surrogates."""
        return CampaignResult(
            name=campaign.name,
            source=campaign.source,
            sampler=campaign.sampler,
            budget=campaign.budget,
            queries=campaign.queries,
            volume=campaign.volume,
            coverage=coverage(campaign.labels, self.bundle.n_classes),
            stopped=campaign.stopped,
            refusals=dict(campaign.refusals),
            retries=campaign.retries,
            marks=marks,
        )

    def compare(
        self, names: tuple[str, str], queries: int, campaign: np.ndarray, baseline: np.ndarray
    ) -> Comparison:
        """Compare two surrogates' probabilities (N, K) clip by clip.

        ``names`` are the campaign's and the baseline's.
        """
        own, other = campaign.argmax(axis=1), baseline.argmax(axis=1)
        accuracy, fidelity = (
            self.estimate((own == target).astype(np.float64) - (other == target))
            for target in (self.bundle.labels, self.victim_labels)
        )
        return Comparison(
            campaign=names[0],
            baseline=names[1],
            queries=queries,
            accuracy=accuracy,
            accuracy_verdict=verdict(accuracy),
            fidelity=fidelity,
            fidelity_verdict=verdict(fidelity),
        )

    def lead(self, predicted: np.ndarray, part: float) -> Estimate:
        """Return the accuracy of ``predicted`` (N, K) less ``part`` of the victim's, paired."""
        truth = self.bundle.labels
        own = (predicted.argmax(axis=1) == truth).astype(np.float64)
        return self.estimate(own - part * (self.victim_labels == truth))

    def agreement(self, predicted: np.ndarray) -> np.ndarray:
        """Return counts (K, K): row = the victim's label, column = that of ``predicted`` (N, K)."""
        return confusion(self.victim_labels, predicted.argmax(axis=1), self.bundle.n_classes)

    def _recall(self, labels: np.ndarray) -> tuple[SpeakerRecall, ...]:
        counts = confusion(self.bundle.labels, labels, self.bundle.n_classes)
        return tuple(
            SpeakerRecall(
                label=label,
                name=name,
                clips=int(counts[label].sum()),
                recall=wilson(int(counts[label, label]), int(counts[label].sum())),
            )
            for label, name in enumerate(self.bundle.names)
        )


def verdict(difference: Estimate) -> Verdict:
    """Read a paired difference: decided only if its interval leaves zero out."""
    if difference.low > 0:
        return "above"
    if difference.high < 0:
        return "below"
    return "undecided"


def wilson(hits: int, trials: int) -> Estimate | None:
    """Return the share ``hits`` / ``trials`` with its 95 % Wilson score interval; None of none.

    A speaker has a handful of test clips, and a bootstrap of all hits would claim certainty.

    Reference: E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference", 1927.
    """
    if trials == 0:
        return None
    p, z2 = hits / trials, _Z95**2
    centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    reach = _Z95 * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return Estimate(value=p, low=max(0.0, centre - reach), high=min(1.0, centre + reach))
