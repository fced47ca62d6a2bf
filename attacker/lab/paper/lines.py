"""Accuracy against queries over seeds, and where nine tenths of the victim's are reached."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from attacker.lab.paper.cells import AIM, CellResult
from attacker.lab.results import Estimate, MarkResult
from attacker.lab.spread import Spread, clipped, spread
from attacker.tables.schema import Table
from shared.config import Frozen

Reach = Literal["reached", "not reached", "not decided"]


class Point(Frozen):
    """A line after so many queries, over the seeds that have a surrogate there."""

    queries: int
    accuracy: Spread | None
    """None where no seed has a surrogate."""
    fidelity: Spread | None
    lead: Spread | None
    """Accuracy less nine tenths of the victim's, both on the same test clips."""
    with_clips: bool
    """Whether the lead's interval holds the luck of the test clips beside that of the seeds."""
    reach: Reach


class Line(Frozen):
    """Accuracy against queries: one row at several marks, or rows under several budgets."""

    id: str
    label: str
    points: tuple[Point, ...]
    """By queries, ascending."""


@dataclass(frozen=True)
class _Seed:
    mark: MarkResult
    lead: Estimate | None


def lines_of(
    table: Table, cells: Mapping[str, Sequence[CellResult]], victim_accuracy: float
) -> tuple[Line, ...]:
    """Return the lines of ``table``: rows with several marks, then those that it names itself.

    ``cells`` are those of each row, by its id.
    """
    found = []
    for row in table.rows:
        marks = _by_queries(cells.get(row.id, ()))
        if len(marks) > 1:
            points = tuple(_point(q, seeds, victim_accuracy) for q, seeds in sorted(marks.items()))
            found.append(Line(id=row.id, label=row.label, points=points))
    for spec in table.lines:
        ends = [
            _last(cells.get(row, ()), table.row(row).budget, victim_accuracy) for row in spec.rows
        ]
        points = tuple(sorted(ends, key=lambda point: point.queries))
        found.append(Line(id=spec.id, label=spec.label, points=points))
    return tuple(found)


def _by_queries(cells: Iterable[CellResult]) -> Mapping[int, list[_Seed]]:
    groups: dict[int, list[_Seed]] = defaultdict(list)
    for cell in cells:
        for seed in _seeds(cell):
            groups[seed.mark.queries].append(seed)
    return groups


def _seeds(cell: CellResult) -> list[_Seed]:
    if cell.score is None:
        return []
    leads = cell.score.leads or (None,) * len(cell.score.marks)
    return [_Seed(mark, lead) for mark, lead in zip(cell.score.marks, leads, strict=True)]


def _last(cells: Iterable[CellResult], budget: int, victim_accuracy: float) -> Point:
    """Return the point of a row: where its campaigns ended, or should if none has finished."""
    seeds = [found[-1] for cell in cells if (found := _seeds(cell))]
    ends = [seed.mark.queries for seed in seeds]
    return _point(round(sum(ends) / len(ends)) if ends else budget, seeds, victim_accuracy)


def _point(queries: int, seeds: Sequence[_Seed], victim_accuracy: float) -> Point:
    accuracy = spread([seed.mark.accuracy.value for seed in seeds])
    fidelity = spread([seed.mark.fidelity.value for seed in seeds])
    lead = spread([seed.mark.accuracy.value - AIM * victim_accuracy for seed in seeds])
    clips = [seed.lead for seed in seeds if seed.lead is not None]
    with_clips = 0 < len(clips) == len(seeds)
    if lead is not None and with_clips:
        lead = _with_clips(lead, clips)
    return Point(
        queries=queries,
        accuracy=None if accuracy is None else clipped(accuracy),
        fidelity=None if fidelity is None else clipped(fidelity),
        lead=lead,
        with_clips=with_clips,
        reach=_reach(lead),
    )


def _with_clips(lead: Spread, clips: Sequence[Estimate]) -> Spread:
    """Return ``lead`` with its interval widened by the luck of the test clips.

    All seeds have the same test clips, so a mean over seeds is no surer of them than the least
    sure of its seeds: the widest half is taken, and joined as independent lucks are.
    """
    if lead.interval is None:
        return lead  # one seed says nothing of how seeds differ, however many its clips
    seeds = lead.interval[1] - lead.mean
    reach = math.hypot(seeds, max((one.high - one.low) / 2 for one in clips))
    return lead.model_copy(update={"low": lead.mean - reach, "high": lead.mean + reach})


def _reach(lead: Spread | None) -> Reach:
    if lead is None or lead.interval is None:
        return "not decided"
    low, high = lead.interval
    return "reached" if low >= 0 else "not reached" if high < 0 else "not decided"
