"""What every detector is: a bounded memory of one account's stream, and a score for each window.

A detector never sees who asks or what was answered, only what the model made of the clips. Its
memory is a handful of arrays, kept in the ledger, so that replicas share it and a restart loses
nothing. A window is closed by the clip that fills it; the higher its score, the less the window
looks like honest traffic. Whether a score is an alarm is decided by a threshold that was fitted to
honest traffic.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, model_validator

from shared.config import Frozen

Memory = Mapping[str, npt.NDArray[np.generic]]
"""Arrays by name; bounded whatever the account sends, and never written to in place."""


@dataclass(frozen=True)
class Seen:
    """What the model made of B clips of one account, in the order in which they came."""

    embeddings: npt.NDArray[np.float32]
    """(B, E) speaker embeddings."""
    probabilities: npt.NDArray[np.float32]
    """(B, K) of the model itself, before any defence."""
    clips: npt.NDArray[np.float32]
    """(B, T) samples in [-1, 1]."""

    def __len__(self) -> int:
        return len(self.embeddings)

    def part(self, start: int, stop: int) -> "Seen":
        """Return clips ``start`` to ``stop`` - 1."""
        where = slice(start, stop)
        return Seen(self.embeddings[where], self.probabilities[where], self.clips[where])


@dataclass(frozen=True)
class Reference:
    """Honest speech that detectors compare with; the victim's own, never what an account sent."""

    seen: Seen
    """N clips of the victim's validation split."""
    labels: npt.NDArray[np.int64]
    """(N,) who speaks."""
    sample_rate_hz: int
    secret: bytes = field(repr=False, default=b"")
    """Salts what is hashed, so that nobody can make collisions offline."""


class DetectorSpec(Frozen, ABC):
    """Base of the specs: ``kind``, the window, and the fields of an idea."""

    model_config = ConfigDict(strict=True)

    needs_fit: ClassVar[bool] = True
    """Whether its scores mean nothing without a threshold that was fitted to honest traffic."""
    most: ClassVar[float] = math.inf
    """The highest score that there is: a threshold from there on is never passed."""

    kind: str
    window: int = Field(default=50, ge=2, le=10_000)
    """Clips after which a score is given."""
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    """Score above which a window is an alarm; None takes the fitted one."""

    @property
    def lowest(self) -> float:
        """The lowest score that there is: a threshold below it is passed by every window."""
        return 0.0

    @model_validator(mode="after")
    def _can_go_either_way(self) -> Self:
        if self.threshold is None:
            return self
        if self.threshold >= self.most:
            raise ValueError(
                f"threshold {self.threshold:g} is never passed, for no score is above "
                f"{self.most:g}. Set a lower one, or none to take the fitted one"
            )
        if self.threshold < self.lowest:
            raise ValueError(
                f"threshold {self.threshold:g} is passed by every window, for no score is below "
                f"{self.lowest:g}. Set a higher one, or none to take the fitted one"
            )
        return self

    @abstractmethod
    def build(self, reference: Reference) -> "Detector":
        """Return the detector; what it learns of ``reference`` it learns here."""


class Detector(ABC):
    """Scores the windows of one account; one instance serves all accounts."""

    def __init__(self, window: int) -> None:
        self.window = window

    @abstractmethod
    def begin(self) -> Memory:
        """Return the memory of an account that has not asked yet."""

    @abstractmethod
    def extend(self, memory: Memory, seen: Seen) -> Memory:
        """Return ``memory`` after ``seen``, which lies within one window."""

    @abstractmethod
    def score(self, memory: Memory) -> float:
        """Return the score of the window that has just been filled."""

    def close(self, memory: Memory) -> Memory:
        """Return what is kept of ``memory`` for the next window; all of it unless overridden."""
        return memory
