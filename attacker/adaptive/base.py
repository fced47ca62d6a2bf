"""What every adaption is: a function from the answers that were bought to what is trained on."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, get_args

import numpy as np

from attacker.errors import ExperimentError, KnowledgeMissing
from attacker.known_defences import KnownDefence
from shared.config import Frozen
from shared.contract import LabelMode


@dataclass(frozen=True)
class AdaptionContext:
    """What an adaption is made for."""

    seed: int
    """Of this adaption's draws alone."""
    groups: np.ndarray | None = None
    """(N,) int64: which window each clip is a copy of; None where the source sends no copies."""
    known_defence: KnownDefence | None = None
    """What the experiment grants of the victim's defence."""

    def demand_groups(self, who: str) -> np.ndarray:
        """Return the groups (N,).

        Raises:
            ExperimentError: the source sends no copies; ``who`` needs them.
        """
        if self.groups is None:
            raise ExperimentError(
                f"surrogate.answers: {who} needs several copies of each window. Use the source "
                "jitter, or leave surrogate.answers out."
            )
        return self.groups

    def demand_defence(self, who: str) -> KnownDefence:
        """Return the known defence.

        Raises:
            KnowledgeMissing: the experiment does not grant it; ``who`` needs it.
        """
        if self.known_defence is None:
            raise KnowledgeMissing(
                f"surrogate.answers: {who} needs to know the victim's defence. Set "
                "knowledge.defence to what it is, such as {kind: rounding, decimals: 2}."
            )
        return self.known_defence


class Adaption(ABC):
    """Answers -> targets. The same answers, context and spec give the same targets, bit by bit."""

    @abstractmethod
    def adapt(self, answers: np.ndarray) -> np.ndarray:
        """Return the targets of ``answers`` (N, K) float32, rows that sum to 1.

        Returns (N, K) float32 rows that sum to 1, or (N,) int64 labels.
        """


class AdaptionSpec(Frozen, ABC):
    """Base of the specs; what an adaption needs is known when the experiment is read."""

    takes: ClassVar[tuple[LabelMode, ...]] = get_args(LabelMode)
    """The label modes of the victims whose answers it can use."""
    gives_labels: ClassVar[bool] = False
    """Whether surrogates are trained on labels, whatever ``surrogate.labels`` says."""
    needs_copies: ClassVar[bool] = False
    needs_defence: ClassVar[bool] = False

    kind: str

    @abstractmethod
    def build(self, context: AdaptionContext) -> Adaption:
        """Return the adaption.

        Raises:
            ExperimentError: the context lacks what it needs.
        """
