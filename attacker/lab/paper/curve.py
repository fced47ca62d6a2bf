"""Figure 4 over seeds: what other caps would have kept of the answers that a row has bought."""

from collections import defaultdict
from collections.abc import Iterable

from attacker.lab.paper.findings import CapPoint
from attacker.lab.spread import Spread, clipped, spread
from attacker.tables.curve import CurvePoint


def mean_curve(points: Iterable[CurvePoint]) -> tuple[CapPoint, ...]:
    """Return the means over seeds of ``points``, in their order."""
    groups: dict[tuple[str, float, int], list[CurvePoint]] = defaultdict(list)
    for point in points:
        groups[point.parameter, point.value, point.iterations].append(point)
    return tuple(
        CapPoint(
            parameter=parameter,
            value=value,
            iterations=n,
            coverage=_mean([point.coverage for point in own], is_share=True),
            volume=_mean([point.volume for point in own], is_share=False),
        )
        for (parameter, value, n), own in groups.items()
    )


def _mean(values: list[float], *, is_share: bool) -> Spread:
    found = spread(values)
    if found is None:
        raise ValueError("a point of the curve has no seed. Report this bug.")
    return clipped(found) if is_share else found
