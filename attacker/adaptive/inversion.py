"""`inversion`: what the model had said, read from a table of what a known defence makes of rows."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from pydantic import Field

from attacker.adaptive.base import Adaption, AdaptionContext
from attacker.adaptive.dirichlet import Pairs, draw_pairs
from attacker.adaptive.undoing import Undoing, UndoingSpec
from attacker.known_defences import KnownDefence
from shared.seeding import numpy_stream

_CHUNK_ANSWERS = 2048


class InversionSpec(UndoingSpec):
    """Trains on the mean of the table's rows whose defended form is within ``tolerance``.

    That is the expectation of the model's row, given the answer; the nearest table row where none
    is so near. All settings are our own choice.

    Reference: partial Bayes of Tang et al., "ModelGuard", USENIX Security 2024.
    """

    kind: Literal["inversion"] = "inversion"
    rows: int = Field(default=100_000, ge=1_000, le=10_000_000)
    """Rows of the table, which is drawn anew and never stored."""
    tolerance: float = Field(default=0.01, gt=0, le=1)
    """Euclidean distance between an answer and a defended row."""

    def build(self, context: AdaptionContext) -> Adaption:
        """Return the adaption.

        Raises:
            KnowledgeMissing: the defence is not known.
        """
        return Inversion(self, context.demand_defence(self.kind), context.seed)


class Inversion(Undoing):
    """Adaption whose only draws are the table's."""

    def __init__(self, spec: InversionSpec, known: KnownDefence, seed: int) -> None:
        super().__init__(known, seed)
        self.spec = spec

    def guess(self, ordered: np.ndarray) -> np.ndarray:
        """Return the expected rows of ``ordered`` (N, K)."""
        table = draw_pairs(
            self.known,
            ordered.shape[1],
            self.spec.rows,
            self.spec.concentration,
            numpy_stream(self.seed, "table"),
        )
        return look_up(ordered, table, self.spec.tolerance)


def look_up(ordered: np.ndarray, table: Iterable[Pairs], tolerance: float) -> np.ndarray:
    """Return for each descending answer (N, K) the mean clean row (N, K) of near table rows."""
    sums, counts = np.zeros_like(ordered), np.zeros(len(ordered))
    nearest, least = np.zeros_like(ordered), np.full(len(ordered), np.inf)
    for pairs in table:
        lengths = np.square(pairs.defended).sum(axis=1)
        for first in range(0, len(ordered), _CHUNK_ANSWERS):
            part = slice(first, first + _CHUNK_ANSWERS)
            answers = ordered[part]
            squares = np.square(answers).sum(axis=1)[:, np.newaxis] + lengths
            squares -= 2 * answers @ pairs.defended.T
            near = (squares <= tolerance**2).astype(np.float64)
            sums[part] += near @ pairs.clean
            counts[part] += near.sum(axis=1)
            best = squares.argmin(axis=1)
            distances = squares[np.arange(len(answers)), best]
            closer = np.flatnonzero(distances < least[part])
            least[part][closer] = distances[closer]
            nearest[part][closer] = pairs.clean[best[closer]]
    means = sums / np.maximum(counts, 1)[:, np.newaxis]
    return np.where(counts[:, np.newaxis] > 0, means, nearest)
