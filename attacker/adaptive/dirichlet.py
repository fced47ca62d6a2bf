"""Probabilities that a model might have given: what an attacker assumes before it has asked."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from attacker.known_defences import KnownDefence
from attacker.sources.altered import log_uniform, within

BLOCK_ROWS = 2048

Concentration = Annotated[tuple[float, float], within(1e-3, 1e6)]
"""Range of the sum of the parameters of symmetric Dirichlet distributions."""


@dataclass(frozen=True)
class Pairs:
    """Rows before and after a defence, each pair ordered by what was released, descending.

    The prior and the defence treat all labels alike, so that an ordered answer need be compared
    with ordered rows alone: K labels make each row stand for K! of them.
    """

    clean: np.ndarray
    """(R, K) float64."""
    defended: np.ndarray
    """(R, K) float64, every row descending."""


def draw_pairs(
    known: KnownDefence,
    classes: int,
    rows: int,
    concentration: tuple[float, float],
    rng: np.random.Generator,
) -> Iterator[Pairs]:
    """Yield ``rows`` pairs in blocks of :data:`BLOCK_ROWS`."""
    for first in range(0, rows, BLOCK_ROWS):
        clean = draw_rows(min(BLOCK_ROWS, rows - first), classes, concentration, rng)
        defended = known.defend(clean)
        order = descending(defended)
        yield Pairs(
            np.take_along_axis(clean, order, axis=1), np.take_along_axis(defended, order, axis=1)
        )


def draw_rows(
    rows: int, classes: int, concentration: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Return (``rows``, ``classes``) float64 draws of symmetric Dirichlet distributions.

    The sum of a row's parameters is a draw of its own from ``concentration``, uniform in its
    logarithm: small ones make sure rows, large ones flat rows.
    """
    shape = np.array([log_uniform(rng, concentration) for _ in range(rows)])[:, np.newaxis]
    shape = shape / classes
    # Gamma(a) = Gamma(a + 1) U^(1/a), in logarithms: the small ones of many labels underflow.
    logs = np.log(rng.standard_gamma(shape + 1, (rows, classes)))
    logs -= rng.standard_exponential((rows, classes)) / shape
    drawn = np.exp(logs - logs.max(axis=1, keepdims=True))
    normed: np.ndarray = drawn / drawn.sum(axis=1, keepdims=True)
    return normed


def descending(rows: np.ndarray) -> np.ndarray:
    """Return the order (B, K) that sorts each row from its largest entry; ties keep theirs."""
    return np.argsort(-rows, axis=1, kind="stable")
