"""Rows that are points of one line of accuracy against queries, as data."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import Field

from attacker.experiment import Name
from attacker.tables.names import demand
from shared.config import Frozen


class LineSpec(Frozen):
    """A line whose points are rows, each a campaign of its own under its own budget.

    A row with several ``marks`` is a line already, of one campaign.
    """

    id: Name
    label: str
    rows: Annotated[tuple[str, ...], Field(min_length=2)]
    """In order of their budgets."""


def check_lines(lines: Sequence[LineSpec], budgets: Mapping[str, int]) -> None:
    """Check that ``lines`` can be drawn: ``budgets`` are those of each row, by its id.

    Raises:
        ValueError: two have one id, or one names an unknown row, or its budgets do not rise.
    """
    ids = [line.id for line in lines]
    if len(set(ids)) != len(ids):
        raise ValueError(f"line ids must differ: {', '.join(ids)}")
    for line in lines:
        for row in line.rows:
            demand("row", row, budgets, f"line {line.id}")
        own = [budgets[row] for row in line.rows]
        if any(after <= before for before, after in pairwise(own)):
            told = ", ".join(f"{row} {budgets[row]:,}" for row in line.rows)
            raise ValueError(
                f"line {line.id}: the budgets of its rows do not rise ({told}); put the rows in "
                "order, each budget once"
            )
