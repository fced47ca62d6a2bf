"""Lines of accuracy against queries in words, for HTML and Markdown alike."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from attacker.lab.paper.cells import AIM
from attacker.lab.paper.findings import VictimFacts
from attacker.lab.paper.lines import Line, Point
from attacker.lab.report.words import points as as_points

AIM_WORDS = f"{AIM:.0%} of the victim's accuracy".replace("%", " %")


def numbers(lines: Iterable[Line]) -> list[int]:
    """Return the numbers of queries of all ``lines``, ascending."""
    return sorted({point.queries for line in lines for point in line.points})


def at(line: Line, queries: int) -> Point | None:
    """Return the point of ``line`` after ``queries``, if it has one."""
    return next((point for point in line.points if point.queries == queries), None)


def drawn(lines: Iterable[Line]) -> list[Line]:
    """Return the lines with the points that have been measured, those without any left out."""
    known = (
        line.model_copy(update={"points": tuple(p for p in line.points if p.accuracy is not None)})
        for line in lines
    )
    return [line for line in known if line.points]


def aim(victim: VictimFacts) -> float | None:
    """Return the accuracy that a line is asked to reach."""
    return None if victim.accuracy is None else AIM * victim.accuracy.value


def summary(line: Line) -> str:
    """Return after how many queries the aim is reached, such as ``not reached at 300; reached at
    1,000 queries``: the most that do not reach it, and the fewest that do.
    """
    told = []
    for reach, group in groupby(line.points, key=lambda point: point.reach):
        queries = [point.queries for point in group]
        told.append(f"{reach} at {_ends(reach, queries)}")
    return "; ".join(told) + " queries"


def lead(point: Point) -> str:
    """Return what a point lies above the aim, with its interval."""
    after = f"{point.queries:,} queries"
    if point.lead is None:
        return f"{after}: no seed has a surrogate there"
    ends = point.lead.interval
    if ends is None:
        reach = "one seed, so no interval"
    else:
        over = "over seeds and test clips" if point.with_clips else "over seeds alone"
        reach = f"{as_points(ends[0])} to {as_points(ends[1])} {over}; n = {point.lead.n}"
    return f"{after}: {as_points(point.lead.mean)} points ({reach})"


def _ends(reach: str, queries: Sequence[int]) -> str:
    first, last = f"{queries[0]:,}", f"{queries[-1]:,}"
    if reach == "reached":
        return first
    return last if reach == "not reached" or first == last else f"{first} to {last}"
