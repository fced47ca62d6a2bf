"""Label counts and coverage growth of campaigns, for figures and CSV files."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attacker.lab.records import CampaignRecord, RunRecord
from attacker.lab.results import write_csv

_GROWTH_POINTS = 400


@dataclass(frozen=True)
class LabelCounts:
    """How often each label was given and kept, (K,) int64 each."""

    answered: np.ndarray
    kept: np.ndarray


def count_labels(campaign: CampaignRecord, n_classes: int) -> LabelCounts:
    """Count the labels of all answers and of those that the sampler kept."""
    answered = np.bincount(campaign.labels, minlength=n_classes)
    kept = np.bincount(campaign.labels[campaign.kept], minlength=n_classes)
    return LabelCounts(answered, kept)


def coverage_growth(labels: np.ndarray) -> np.ndarray:
    """Return the number of distinct labels (Q,) among the first 1, 2, ... Q ``labels``."""
    first = np.zeros(len(labels), dtype=np.int64)
    first[np.unique(labels, return_index=True)[1]] = 1
    growth: np.ndarray = np.cumsum(first)
    return growth


def thin(length: int, points: int = _GROWTH_POINTS) -> np.ndarray:
    """Return at most ``points`` positions that span ``length`` entries, both ends included."""
    if length <= points:
        return np.arange(length)
    return np.unique(np.linspace(0, length - 1, points).astype(np.int64))


def write_tables(run: RunRecord, folder: Path) -> None:
    """Write ``labels.csv`` and ``coverage.csv`` to ``folder``."""
    write_csv(folder / "labels.csv", _label_rows(run))
    write_csv(folder / "coverage.csv", _coverage_rows(run))


def _label_rows(run: RunRecord) -> Iterable[dict[str, Any]]:
    for campaign in run.campaigns:
        counts = count_labels(campaign, len(run.victim.labels))
        for label, name in enumerate(run.victim.labels):
            yield {
                "campaign": campaign.name,
                "label": label,
                "speaker": name,
                "answered": int(counts.answered[label]),
                "kept": int(counts.kept[label]),
                "cap": "" if campaign.cap is None else float(campaign.cap[label]),
            }


def _coverage_rows(run: RunRecord) -> Iterable[dict[str, Any]]:
    for campaign in run.campaigns:
        growth = coverage_growth(campaign.labels)
        for position in thin(len(growth)):
            yield {
                "campaign": campaign.name,
                "queries": int(position) + 1,
                "labels_seen": int(growth[position]),
            }
