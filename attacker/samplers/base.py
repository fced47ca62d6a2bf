"""What every sampler is: it decides which answers are kept, and when a campaign may stop early."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from attacker.errors import KnowledgeMissing


@dataclass(frozen=True)
class SamplerContext:
    """What a sampler may know of the victim."""

    n_classes: int
    class_counts: np.ndarray | None = None
    """(K,) training clips of each speaker, where the experiment grants them (assumption A3)."""

    def granted_class_counts(self, who: str) -> np.ndarray:
        """Return the class counts (K,).

        Raises:
            KnowledgeMissing: the experiment does not grant them; ``who`` needs them.
        """
        if self.class_counts is None:
            raise KnowledgeMissing(
                f"{who} needs the victim's class counts (assumption A3), which this experiment "
                "does not grant. Set knowledge.class_counts to the victim's class_counts.json, or "
                "give --class-counts; or use static_threshold, which needs none."
            )
        return self.class_counts


class Sampler(ABC):
    """Keeps or discards answers, in the order of the queries.

    The base class counts what was kept of each label; a sampler only says how many it wants.
    Asking again from the start with the same labels gives the same decisions, which is how a
    resumed campaign finds its state.

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification",
    Algorithm 1, lines 4 and 7 to 10.
    """

    def __init__(self, context: SamplerContext) -> None:
        self.n_classes = context.n_classes
        self.kept = np.zeros(context.n_classes, dtype=np.int64)
        caps = self.choose_caps(context)
        self.caps = None if caps is None else np.asarray(caps, dtype=np.int64)

    @abstractmethod
    def choose_caps(self, context: SamplerContext) -> np.ndarray | None:
        """Return T_i, the most answers of each label to keep, (K,); None keeps all."""

    @property
    def satisfied(self) -> bool:
        """Whether every cap is met, so that further queries would be paid for and discarded."""
        return self.caps is not None and bool(np.all(self.kept >= self.caps))

    def observe(self, labels: np.ndarray) -> np.ndarray:
        """Take the victim's labels (B,), in query order; return which to keep, (B,) bool.

        Raises:
            ValueError: a label is none of the victim's.
        """
        labels = np.asarray(labels, dtype=np.int64)
        if labels.ndim != 1 or (
            labels.size and not 0 <= labels.min() <= labels.max() < self.n_classes
        ):
            raise ValueError(
                f"labels must be (B,) in [0, {self.n_classes}). Check the victim's answers."
            )
        if self.caps is None:
            keep = np.ones(len(labels), dtype=bool)
        else:
            room = self.caps - self.kept
            keep = _rank_among_equals(labels) < room[labels]
        self.kept += np.bincount(labels[keep], minlength=self.n_classes)
        return keep


def _rank_among_equals(labels: np.ndarray) -> np.ndarray:
    """For each entry of ``labels`` (B,), how many equal entries stand before it, (B,)."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(labels) else order
    lengths = np.diff(np.r_[starts, len(labels)])
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[order] = np.arange(len(labels)) - np.repeat(starts, lengths)
    return ranks
