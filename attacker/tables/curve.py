"""What other caps would have kept of answers that were bought: figure 4, without a query.

The labels of a row's campaign are in its journal, the discarded ones as well. A sampler with other
caps is shown them again, as a campaign of n iterations would have: it stops between two of them
when every cap is met, and never within one.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from attacker.campaign import iteration_ends
from attacker.journal import Journal
from attacker.samplers import Sampler, SamplerContext, SamplerSpec
from attacker.samplers.dynamic_threshold import DynamicThresholdSpec
from attacker.samplers.static_threshold import StaticThresholdSpec
from attacker.tables.manifest import CellRecord, TableRun
from attacker.tables.schema import CAMPAIGN


@dataclass(frozen=True)
class CurvePoint:
    """What one cap would have kept in one seed."""

    parameter: str
    """``alpha`` or ``tau``."""
    value: float
    iterations: int
    """n."""
    seed: int
    queries: int
    volume: int
    coverage: float
    """Share of the victim's labels that were kept at least once."""


def curve_points(run: TableRun, class_counts: np.ndarray | None = None) -> list[CurvePoint]:
    """Return the points of the table's curve, for each seed whose row is done.

    Points of ``alpha`` need the victim's training clips of each label, (K,), and are left out
    without.

    Raises:
        JournalError: a cell that is marked as done is damaged.
    """
    curve = run.table.curve
    if curve is None:
        return []
    context = SamplerContext(len(run.victim.labels), class_counts)
    specs: list[tuple[str, float, SamplerSpec]] = [
        ("tau", tau, StaticThresholdSpec(tau=tau)) for tau in curve.tau
    ]
    if class_counts is not None:
        specs += [("alpha", alpha, DynamicThresholdSpec(alpha=alpha)) for alpha in curve.alpha]
    row = run.table.row(curve.row)
    shares = iteration_ends(row.budget, row.iterations)
    points = []
    for cell in run.cells[curve.row]:
        labels = _labels(cell) if cell.done else np.zeros(0, dtype=np.int64)
        for parameter, value, spec in specs if len(labels) else []:
            for n in curve.iterations:
                queries, volume, kept = replay(labels, spec.build(context), shares[:n])
                coverage = kept / context.n_classes
                points.append(CurvePoint(parameter, value, n, cell.seed, queries, volume, coverage))
    return points


def replay(labels: np.ndarray, sampler: Sampler, ends: list[int]) -> tuple[int, int, int]:
    """Return (queries, volume, labels kept) of a campaign that meets ``labels`` (N,) in order.

    ``ends`` are the queries at the end of each iteration; labels beyond the last are not met.
    """
    queries = 0
    for start, end in pairwise([0, *ends]):
        if sampler.satisfied:
            break
        part = labels[start:end]
        sampler.observe(part)
        queries += len(part)
    return queries, int(sampler.kept.sum()), int(np.count_nonzero(sampler.kept))


def _labels(cell: CellRecord) -> np.ndarray:
    journal = Journal.read(cell.folder / CAMPAIGN)
    try:
        return journal.observed_labels()
    finally:
        journal.close()
