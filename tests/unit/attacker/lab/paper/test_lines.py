"""Lines over queries: what their points are made of, and when the aim is reached."""

from typing import Any

import pytest

from attacker.lab.paper import line_words
from attacker.lab.paper.cells import CellResult
from attacker.lab.paper.lines import Point, lines_of
from attacker.lab.results import Estimate
from attacker.tables.schema import Table
from tests.support.paper_world import cell, score
from tests.support.tables import changed

VICTIM = 0.9
AIM = 0.81


def table(**changes: Any) -> Table:
    """Return a table of two rows, which are points of one line."""
    data = changed(
        lines=[{"id": "more", "label": "More", "rows": ["few", "proxy-full"]}], **changes
    )
    sizes = data.pop("profiles")["desk"]
    data.pop("sampler")
    common = {"sampler": {"kind": "keep_all"}, "budget": 40}
    rows = [{**common, **row} for row in data["rows"][:2]]
    rows[1]["budget"] = 20
    data |= {"audio": sizes["audio"], "query": sizes["query"], "rows": rows}
    data |= {"claims": [], "curve": None, "generators": {}}
    return Table.model_validate(data)


def cells(*heights: float, half: float | None = None, bought: int = 40) -> list[CellResult]:
    """Return cells of these accuracies; ``half`` is that of the interval over test clips."""
    found = []
    for seed, height in enumerate(heights):
        whole = score(height, bought=bought)
        if half is not None:
            lead = Estimate(value=height - AIM, low=height - AIM - half, high=height - AIM + half)
            whole = whole.model_copy(update={"leads": (lead,)})
        found.append(cell(seed, whole))
    return found


def last(found: list[CellResult]) -> Point:
    """Return the last point of the line whose last row has the cells ``found``."""
    (line,) = lines_of(table(), {"proxy-full": found}, VICTIM)
    return line.points[-1]


@pytest.mark.parametrize(
    ("heights", "half", "reach"),
    [
        ((0.85, 0.852, 0.854), None, "reached"),
        ((0.76, 0.762, 0.764), None, "not reached"),
        ((0.80, 0.81, 0.82), None, "not decided"),
        ((0.95,), None, "not decided"),  # one seed, however high
        ((0.95,), 0.001, "not decided"),
        ((0.2,), 0.001, "not decided"),
        ((0.85, 0.852, 0.854), 0.02, "reached"),
        ((0.85, 0.852, 0.854), 0.06, "not decided"),  # so few test clips tell nothing
        ((), None, "not decided"),
    ],
)
def test_the_aim_is_reached_by_the_interval(
    heights: tuple[float, ...], half: float | None, reach: str
) -> None:
    assert last(cells(*heights, half=half)).reach == reach


def test_the_luck_of_test_clips_widens_the_interval() -> None:
    alone, both = last(cells(0.85, 0.86)).lead, last(cells(0.85, 0.86, half=0.03)).lead
    assert alone is not None
    assert both is not None
    assert alone.interval is not None
    assert both.interval is not None
    assert both.mean == alone.mean == pytest.approx(0.045)
    seeds, joined = alone.interval[1] - alone.mean, both.interval[1] - both.mean
    assert joined == pytest.approx((seeds**2 + 0.03**2) ** 0.5)


def test_a_seed_that_lacks_them_leaves_the_luck_of_clips_out_and_it_is_said() -> None:
    mixed = [*cells(0.85, half=0.03), *cells(0.85, 0.86)[1:]]
    point = last(mixed)
    assert not point.with_clips
    assert "over seeds alone; n = 2" in line_words.lead(point)
    whole = last(cells(0.85, 0.86, half=0.03))
    assert "over seeds and test clips; n = 2" in line_words.lead(whole)
    assert "one seed, so no interval" in line_words.lead(last(cells(0.85)))


def test_a_row_that_has_not_run_stands_at_its_budget() -> None:
    (line,) = lines_of(table(), {"proxy-full": cells(0.5, 0.6, bought=38)}, VICTIM)
    assert [(point.queries, point.accuracy is None) for point in line.points] == [
        (20, True), (38, False)
    ]  # fmt: skip
    assert line_words.numbers([line]) == [20, 38]
    assert [point.queries for point in line_words.drawn([line])[0].points] == [38]
    assert line_words.drawn(lines_of(table(), {}, VICTIM)) == []


def test_marks_are_averaged_where_they_are() -> None:
    early = score(0.3, bought=10).marks[0]
    both = score(0.5, bought=40)
    both = both.model_copy(update={"marks": (early, *both.marks)})
    found = [cell(0, both), cell(1, score(0.6, bought=40))]
    line = lines_of(table(), {"proxy-full": found}, VICTIM)[0]
    counts = [(p.queries, p.accuracy.n if p.accuracy else 0) for p in line.points]
    assert counts == [(10, 1), (40, 2)]
    accuracy = line.points[1].accuracy
    assert accuracy is not None
    assert accuracy.mean == pytest.approx(0.55)
