"""From a run folder and the evaluation bundle to results, through an audit key.

The victim and each surrogate see the test split once: what they said is cached in the run folder
under their checkpoint, so a second report asks nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as dump_arrays

from attacker.lab.bundle import Bundle
from attacker.lab.records import CampaignRecord, RunRecord, SurrogateRecord
from attacker.lab.results import Account, Comparison, Results
from attacker.lab.scores import Ruler
from shared.checkpoint import write_atomically
from shared.metrics import RESAMPLES

Ask = Callable[[np.ndarray], np.ndarray]
"""Clips (N, T) int16 -> probabilities (N, K) float32."""
Predict = Callable[[Path, np.ndarray], np.ndarray]
"""A surrogate's folder and clips (N, T) int16 -> probabilities (N, K) float32."""

BASELINE_SOURCE = "proxy"
LAB_FOLDER = "lab"


@dataclass(frozen=True)
class Findings:
    """Results with the arrays that the report draws."""

    results: Results
    victim: np.ndarray
    """(N, K) float32: the victim's probabilities on the test split."""
    agreement: dict[str, np.ndarray] = field(default_factory=dict)
    """By campaign, counts (K, K) of its last surrogate: row = victim's label, column = its own."""


def evaluate(
    run: RunRecord,
    bundle: Bundle,
    *,
    ask: Ask,
    predict: Predict,
    account: Account | None = None,
    account_problem: str | None = None,
    resamples: int = RESAMPLES,
    on_step: Callable[[str], None] | None = None,
) -> Findings:
    """Score the victim and every surrogate of ``run`` on the test split.

    Raises:
        BundleError: the bundle belongs to another victim than the run attacked.
    """
    tell = on_step or (lambda _: None)
    bundle.demand_victim(run.victim.checkpoint, who="the victim that this run attacked")
    cache = Cache(run.folder / LAB_FOLDER / "cache", bundle)
    tell("the victim labels the test split")
    victim = cache.remember(bundle.checkpoint, lambda: ask(bundle.clips))
    ruler = Ruler(bundle, victim, seed=run.seed, resamples=resamples)
    predictions: dict[str, dict[int, np.ndarray]] = {}
    campaigns = []
    for campaign in run.campaigns:
        marks = []
        for surrogate in campaign.surrogates:
            tell(f"{campaign.name} at {surrogate.queries:,} queries")
            rows = cache.remember(surrogate.checkpoint, _predicted(predict, surrogate, bundle))
            predictions.setdefault(campaign.name, {})[surrogate.queries] = rows
            marks.append(ruler.score_mark(campaign, surrogate, rows))
        campaigns.append(ruler.score_campaign(campaign, tuple(marks)))
    baseline = find_baseline(run.campaigns)
    results = Results(
        run=run.name,
        seed=run.seed,
        resamples=resamples,
        victim=ruler.score_victim(),
        campaigns=tuple(campaigns),
        baseline=baseline,
        comparisons=_comparisons(ruler, predictions, baseline),
        account=account,
        account_problem=account_problem,
    )
    last = {name: ruler.agreement(marks[max(marks)]) for name, marks in predictions.items()}
    return Findings(results, victim, last)


def find_baseline(campaigns: tuple[CampaignRecord, ...]) -> str | None:
    """Name the first campaign that sends the proxy corpus as it is."""
    return next((c.name for c in campaigns if c.source == BASELINE_SOURCE), None)


class Cache:
    """What each checkpoint said of one bundle's clips, in a folder."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.folder = folder
        self.bundle = bundle
        self.shape = (len(bundle.labels), bundle.n_classes)

    def path(self, checkpoint: str) -> Path:
        """Return the file that holds, or will hold, the answers of ``checkpoint``."""
        return self.folder / f"{checkpoint[:32]}-on-{self.bundle.sha256[:16]}.safetensors"

    def holds(self, checkpoint: str) -> bool:
        """Whether ``checkpoint`` has been asked already."""
        return self._read(checkpoint) is not None

    def remember(self, checkpoint: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the cached probabilities (N, K) of ``checkpoint``, or make and keep them."""
        known = self._read(checkpoint)
        if known is not None:
            return known
        rows = np.ascontiguousarray(make(), dtype=np.float32)
        if rows.shape != self.shape or not np.isfinite(rows).all():
            raise ValueError(
                f"the model {checkpoint[:12]} answered {rows.shape} for {self.shape} or gave "
                "values that are not finite. Check that it is the model of this run."
            )
        write_atomically(self.path(checkpoint), dump_arrays({"probabilities": rows}))
        return rows

    def _read(self, checkpoint: str) -> np.ndarray | None:
        """Return the cached rows; a file that is missing or cut short counts as none."""
        try:
            rows: np.ndarray = load_arrays(self.path(checkpoint).read_bytes())["probabilities"]
        except (OSError, SafetensorError, KeyError):
            return None
        return rows if rows.shape == self.shape else None


def _predicted(
    predict: Predict, surrogate: SurrogateRecord, bundle: Bundle
) -> Callable[[], np.ndarray]:
    return lambda: predict(surrogate.folder, bundle.clips)


def _comparisons(
    ruler: Ruler, predictions: dict[str, dict[int, np.ndarray]], baseline: str | None
) -> tuple[Comparison, ...]:
    """Compare each campaign with the baseline at every number of queries that both have."""
    if baseline is None or baseline not in predictions:
        return ()
    reference = predictions[baseline]
    return tuple(
        ruler.compare((name, baseline), queries, marks[queries], reference[queries])
        for name, marks in predictions.items()
        if name != baseline
        for queries in sorted(marks.keys() & reference.keys())
    )
