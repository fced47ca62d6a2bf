"""Figure 4: what other caps would have kept of the answers that a row has bought.

No clip is bought for it: a cap decides on labels alone, in the order in which they came.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attacker.campaign import iteration_ends
from attacker.journal import Journal
from attacker.lab.paper.findings import CurvePoint
from attacker.lab.paper.spread import clipped, spread
from attacker.samplers import Sampler, SamplerContext
from attacker.samplers.dynamic_threshold import DynamicThresholdSpec
from attacker.samplers.static_threshold import StaticThresholdSpec
from attacker.tables.schema import CAMPAIGN, Curve, Row


@dataclass(frozen=True)
class Kept:
    """What one cap keeps of one cell's answers."""

    coverage: float
    """Share of the K labels among the kept answers."""
    volume: int
    met: float
    """Share of the K labels of which as many came as were wanted."""


def keep(labels: np.ndarray, caps: np.ndarray) -> Kept:
    """Return what caps (K,) keep of the answers ``labels`` (Q,)."""
    seen = np.bincount(labels, minlength=len(caps))
    kept = np.minimum(seen, caps)
    return Kept(
        coverage=float(np.mean(kept > 0)),
        volume=int(kept.sum()),
        met=float(np.mean(seen >= caps)),
    )


def draw_curve(
    curve: Curve, row: Row, cells: Sequence[np.ndarray], class_counts: Sequence[int]
) -> tuple[CurvePoint, ...]:
    """Return the points of ``curve`` over the ``cells`` of ``row``: the labels (Q,) of each seed.

    ``class_counts`` (K,) are the victim's training clips of each label, which the laboratory knows.
    """
    context = SamplerContext(len(class_counts), np.asarray(class_counts, dtype=np.int64))
    ends = iteration_ends(row.budget, row.iterations)
    points = []
    for n in curve.iterations:
        if n > row.iterations:
            continue
        bought = [labels[: ends[n - 1]] for labels in cells]
        for alpha in curve.alpha:
            sampler = DynamicThresholdSpec(alpha=alpha).build(context)
            points += _point("alpha", alpha, n, bought, sampler)
        for tau in curve.tau:
            sampler = StaticThresholdSpec(tau=tau).build(context)
            points += _point("tau", tau, n, bought, sampler)
    return tuple(points)


def answered_labels(folder: Path) -> np.ndarray:
    """Return the victim's labels (Q,) of a cell's answers, in the order of its queries.

    Raises:
        JournalError: the cell has no journal that can be read.
    """
    journal = Journal.read(folder / CAMPAIGN)
    try:
        return journal.observed_labels()
    finally:
        journal.close()


def _point(
    threshold: str, value: float, n: int, cells: Sequence[np.ndarray], sampler: Sampler
) -> list[CurvePoint]:
    if sampler.caps is None:
        return []
    kept = [keep(labels, sampler.caps) for labels in cells]
    found = {
        "coverage": clipped(spread([one.coverage for one in kept])),
        "volume": spread([one.volume for one in kept]),
        "met": clipped(spread([one.met for one in kept])),
    }
    if None in found.values():
        return []
    facts = {"threshold": threshold, "value": value, "iterations": n, **found}
    return [CurvePoint.model_validate(facts)]
