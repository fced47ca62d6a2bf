"""What the vision control found: curves over the layers given, with intervals over seeds."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from attacker.lab.results import Verdict, write_csv
from attacker.lab.spread import Spread, clipped, spread
from attacker.lab.vision.cells import CellRow
from attacker.lab.vision.experiment import Cell, SourceTask, VisionExperiment
from attacker.lab.vision.models import ModelRow
from shared.checkpoint import write_atomically
from shared.config import Frozen

_NO_SPREAD = 1e-9


class Mean(Frozen):
    """A mean over seeds with its 95 % interval, which one seed alone does not give."""

    value: float
    low: float | None
    high: float | None
    seeds: int

    @classmethod
    def of(cls, values: list[float]) -> "Mean":
        """Return the mean of ``values``, one a seed, with Student's t interval.

        Raises:
            ValueError: there is no seed.
        """
        return cls._as(_spread_of(values))

    @classmethod
    def of_shares(cls, values: list[float]) -> "Mean":
        """Return the mean of shares; their interval ends at 0 and at 1."""
        return cls._as(clipped(_spread_of(values)))

    @classmethod
    def _as(cls, found: Spread) -> "Mean":
        return cls(value=found.mean, low=found.low, high=found.high, seeds=found.n)

    @property
    def verdict(self) -> Verdict:
        """Whether it lies above or below zero, as far as its interval decides that.

        Seeds that agree to the last image, as those of a small test split may, show no spread to
        judge by, and so decide nothing.
        """
        if self.low is None or self.high is None or self.high - self.low < _NO_SPREAD:
            return "undecided"
        if self.low > 0:
            return "above"
        return "below" if self.high < 0 else "undecided"


class Point(Frozen):
    """The surrogates that were given the first k layers of one source."""

    first_layers: int
    accuracy: Mean
    fidelity: Mean
    kl_nats: Mean
    gain: Mean | None
    """Accuracy over that of the k before on the curve, paired by seed; None at k = 0."""
    from_nothing: Mean | None
    """Accuracy over that of k = 0, paired by seed; None at k = 0."""


class Curve(Frozen):
    """Accuracy and fidelity against k, for one source of the first layers."""

    source: SourceTask
    points: tuple[Point, ...]


class Contrast(Frozen):
    """Layers learnt on the proxy's task against the victim's own, at one k, paired by seed."""

    first_layers: int
    accuracy: Mean
    """Accuracy with the proxy's layers minus accuracy with the victim's."""
    fidelity: Mean


class VisionResults(Frozen):
    """Everything that one control found."""

    version: Literal[1] = 1
    name: str
    layers: tuple[str, ...]
    """All layers of the network; k counts them from the left."""
    models: tuple[ModelRow, ...]
    """The victim first."""
    answers: int
    """Proxy images that the victim answered for each surrogate."""
    curves: tuple[Curve, ...]
    contrasts: tuple[Contrast, ...]
    rows: tuple[CellRow, ...]

    @property
    def victim(self) -> ModelRow:
        """The victim on its own test images."""
        return self.models[0]


def summarise(
    experiment: VisionExperiment,
    layers: tuple[str, ...],
    models: tuple[ModelRow, ...],
    rows: tuple[CellRow, ...],
) -> VisionResults:
    """Return the results of all cells of ``experiment``; ``models`` begin with the victim."""
    by_name = {row.cell.name: row for row in rows}

    def column(source: SourceTask, k: int, figure: str) -> list[float]:
        cells = [
            Cell(source="none" if k == 0 else source, first_layers=k, seed=seed)
            for seed in experiment.seeds
        ]
        return [getattr(by_name[cell.name], figure) for cell in cells]

    def point(source: SourceTask, k: int, before: int | None) -> Point:
        accuracy = column(source, k, "accuracy")
        return Point(
            first_layers=k,
            accuracy=Mean.of_shares(accuracy),
            fidelity=Mean.of_shares(column(source, k, "fidelity")),
            kl_nats=Mean.of(column(source, k, "kl_nats")),
            gain=None if before is None else _over(accuracy, column(source, before, "accuracy")),
            from_nothing=None if k == 0 else _over(accuracy, column(source, 0, "accuracy")),
        )

    def against(k: int, figure: str) -> Mean:
        return _over(column("proxy", k, figure), column("victim", k, figure))

    steps = list(zip(experiment.first_layers, (None, *experiment.first_layers), strict=False))
    both = {"victim", "proxy"} <= set(experiment.sources)
    return VisionResults(
        name=experiment.name,
        layers=layers,
        models=models,
        answers=rows[0].training_images,
        curves=tuple(
            Curve(source=source, points=tuple(point(source, k, before) for k, before in steps))
            for source in experiment.sources
        ),
        contrasts=tuple(
            Contrast(
                first_layers=k, accuracy=against(k, "accuracy"), fidelity=against(k, "fidelity")
            )
            for k in experiment.first_layers[1:]
            if both
        ),
        rows=rows,
    )


def write_vision_results(results: VisionResults, out: Path) -> None:
    """Write ``results.json`` and ``cells.csv`` to ``out``."""
    text = results.model_dump_json(indent=2) + "\n"
    write_atomically(out / "results.json", text.encode())
    write_csv(out / "cells.csv", _csv_rows(results))


def _spread_of(values: list[float]) -> Spread:
    found = spread(values)
    if found is None:
        raise ValueError("a mean needs one seed at least. Run a seed.")
    return found


def _over(left: list[float], right: list[float]) -> Mean:
    return Mean.of([a - b for a, b in zip(left, right, strict=True)])


def _csv_rows(results: VisionResults) -> Iterable[dict[str, Any]]:
    for row in results.rows:
        data = row.model_dump(mode="json")
        yield {**data.pop("cell"), **data, "layers": " ".join(row.layers)}
