"""What a table claims, as data: a report says of each whether the intervals bear it out."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, get_args

from pydantic import Field

from attacker.tables.names import demand
from shared.config import Frozen

Figure = Literal["accuracy", "fidelity", "coverage", "volume"]
FIGURES: tuple[Figure, ...] = get_args(Figure)
VICTIM = "victim"
"""Stands among the rows of ``than`` for the victim's own figure; no row may be called so."""
RowIds = Annotated[tuple[str, ...], Field(min_length=1)]


class _Claim(Frozen):
    text: str
    """The claim in a sentence, as a reader of the report meets it."""
    figure: Figure = "accuracy"
    """Which figure of the rows it is about."""
    ours: bool = False
    """Whether we ask it, and the paper does not say it."""


class Above(_Claim):
    """Each of ``rows`` lies above each of ``than``."""

    kind: Literal["above"] = "above"
    rows: RowIds
    than: RowIds


class AtChance(_Claim):
    """Each of ``rows`` does not beat one label in K."""

    kind: Literal["at_chance"] = "at_chance"
    rows: RowIds


class AboutEqual(_Claim):
    """Each of ``rows`` differs from the entry of ``than`` at its place by no more than a margin."""

    kind: Literal["about_equal"] = "about_equal"
    rows: RowIds
    than: RowIds
    margin_points: float = Field(gt=0)
    """Largest difference, in percentage points of the figure."""


class RisesWith(_Claim):
    """The figure rises from row to row, in the order given, as ``x`` does."""

    kind: Literal["rises_with"] = "rises_with"
    x: str
    """A figure such as ``volume``, or a setting of all its rows such as ``tau`` or ``budget``."""
    rows: RowIds


class JumpThenPlateau(_Claim):
    """The first step between ``rows`` is the largest, and after it hardly anything is gained."""

    kind: Literal["jump_then_plateau"] = "jump_then_plateau"
    rows: RowIds
    """In order of known layers, from none on."""


Claim = Annotated[
    Above | AtChance | AboutEqual | RisesWith | JumpThenPlateau, Field(discriminator="kind")
]


def check_claims(claims: Sequence[Claim], settings: Mapping[str, Mapping[str, float]]) -> None:
    """Check that ``claims`` speak of what there is: ``settings`` are those of each row, by its id.

    Raises:
        ValueError: one names an unknown row, or an ``x`` that not all of its rows have.
    """
    for claim in claims:
        where = f"claim {claim.kind}"
        for name in claim.rows:
            demand("row", name, settings, where)
        for name in getattr(claim, "than", ()):
            demand("row", name, (*settings, VICTIM), where)
        if isinstance(claim, RisesWith):
            shared = set.intersection(*(set(settings[row]) for row in claim.rows))
            demand("x", claim.x, {*FIGURES, *shared}, where, whose="what all its rows have")
