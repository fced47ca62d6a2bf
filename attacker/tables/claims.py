"""What a table claims, as data: a report says of each whether the intervals bear it out."""

from typing import Annotated, Literal

from pydantic import Field

from shared.config import Frozen

Figure = Literal["accuracy", "fidelity", "coverage", "volume"]
VICTIM = "victim"
"""Stands among the rows of ``than`` for the victim's own figure; no row may be called so."""
RowIds = Annotated[tuple[str, ...], Field(min_length=1)]


class _Claim(Frozen):
    text: str
    """The claim in a sentence, as a reader of the report meets it."""
    figure: Figure = "accuracy"
    """Which figure of the rows it is about."""


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
    """``coverage`` or ``volume``, or a setting of the rows such as ``alpha``, ``tau`` or ``n``."""
    rows: RowIds


class JumpThenPlateau(_Claim):
    """The first step between ``rows`` is the largest, and after it hardly anything is gained."""

    kind: Literal["jump_then_plateau"] = "jump_then_plateau"
    rows: RowIds
    """In order of known layers, from none on."""


Claim = Annotated[
    Above | AtChance | AboutEqual | RisesWith | JumpThenPlateau, Field(discriminator="kind")
]


def rows_of(claim: Claim) -> tuple[str, ...]:
    """Return every row that ``claim`` speaks of."""
    than: tuple[str, ...] = getattr(claim, "than", ())
    return (*claim.rows, *than)
