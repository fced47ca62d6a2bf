"""What the laboratory reads from a run folder, free of how the attack writes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attacker.errors import EarshotError
from shared.contract import ModelCard

Remake = Callable[[Sequence[int]], np.ndarray]
"""Positions of answered queries -> their clips (n, T) float32, made again, or RemakeError."""


class RemakeError(EarshotError):
    """The clips of a campaign cannot be made again; the message says what is missing."""


@dataclass(frozen=True)
class SurrogateRecord:
    """A trained surrogate in its checkpoint folder."""

    queries: int
    volume: int
    checkpoint: str
    """sha256 of its tensors."""
    folder: Path


@dataclass(frozen=True)
class CampaignRecord:
    """One campaign by its journal. Entry q of each array is the q-th answered query."""

    name: str
    source: str
    sampler: str
    budget: int
    labels: np.ndarray
    """(Q,) int64: the victim's most probable label."""
    kept: np.ndarray
    """(Q,) bool: whether the sampler kept the answer for training."""
    confidence: np.ndarray
    """(Q,) float32: the released probability of that label; NaN in hard mode."""
    cap: np.ndarray | None
    """(K,) float64: most answers of each label that the sampler keeps; None without a threshold."""
    surrogates: tuple[SurrogateRecord, ...]
    refusals: Mapping[str, int]
    retries: int = 0
    stopped: str | None = None
    remake: Remake | None = None

    @property
    def queries(self) -> int:
        """Clips answered."""
        return len(self.labels)

    @property
    def volume(self) -> int:
        """Answers kept."""
        return int(self.kept.sum())


@dataclass(frozen=True)
class RunRecord:
    """A run folder as the laboratory sees it."""

    folder: Path
    name: str
    seed: int
    experiment_yaml: str
    """The resolved experiment."""
    card: Mapping[str, Any]
    """``run.json``: commit, lock hash, seeds, command line."""
    victim: ModelCard
    campaigns: tuple[CampaignRecord, ...]
    warnings: tuple[str, ...] = ()
    """What could not be read, in words for the report."""
