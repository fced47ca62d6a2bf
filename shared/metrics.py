"""What a campaign is measured by, with 95 % bootstrap intervals."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shared.seeding import numpy_stream

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def accuracy(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Share of clips whose predicted label (N,) is the true one (N,)."""
    _same_length(predicted, truth)
    return float(np.mean(predicted == truth))


def fidelity(predicted: np.ndarray, victim: np.ndarray) -> float:
    """Share of clips on which the surrogate's label (N,) is the victim's (N,)."""
    return accuracy(predicted, victim)


def coverage(labels: np.ndarray, n_classes: int) -> float:
    """Share of the victim's K labels that occur among ``labels`` (N,).

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", section 4.
    """
    return len(np.unique(labels)) / n_classes


def kl(victim: np.ndarray, surrogate: np.ndarray, floor: float = 1e-9) -> np.ndarray:
    """Kullback-Leibler divergence (N,), in nats, from the surrogate's to the victim's rows (N, K).

    Probabilities below ``floor`` count as ``floor``, so that a zero costs much and not all.
    """
    _same_length(victim, surrogate)
    p = np.clip(victim.astype(np.float64), floor, None)
    q = np.clip(surrogate.astype(np.float64), floor, None)
    p /= p.sum(axis=1, keepdims=True)
    q /= q.sum(axis=1, keepdims=True)
    divergence: np.ndarray = np.sum(p * (np.log(p) - np.log(q)), axis=1)
    return divergence


def confusion(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (K, K): row = true label, column = predicted label."""
    _same_length(truth, predicted)
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def per_class_recall(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Recall (K,) of each label; NaN where the truth never has it."""
    counts = confusion(truth, predicted, n_classes)
    total = counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        recall: np.ndarray = np.where(total > 0, np.diag(counts) / np.maximum(total, 1), np.nan)
    return recall


def bootstrap(
    values: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Interval:
    """Percentile bootstrap of the mean of ``values`` (N,), one value a clip, at 95 %.

    ``statistic`` maps resampled values (R, N) to (R,) where the mean is not what is wanted. For a
    paired comparison of two surrogates, give the differences clip by clip.

    Raises:
        ValueError: there are no values.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError("an interval needs at least one value in one dimension. Add clips.")
    measure = statistic or (lambda rows: rows.mean(axis=1))
    rng = numpy_stream(seed, "bootstrap", len(values))
    chunk = max(1, 4_000_000 // len(values))
    drawn = [
        measure(
            values[rng.integers(0, len(values), size=(min(chunk, resamples - done), len(values)))]
        )
        for done in range(0, resamples, chunk)
    ]
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975])
    return Interval(float(measure(values[None, :])[0]), float(low), float(high))


def _same_length(left: np.ndarray, right: np.ndarray) -> None:
    if len(left) != len(right) or len(left) == 0:
        raise ValueError(
            f"{len(left)} and {len(right)} entries cannot be compared: both must have the same "
            "number of clips, and at least one."
        )
