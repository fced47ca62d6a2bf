"""What is left of a study, and what it will cost, before anything is spent."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from attacker.cells.cell import bought, is_done
from attacker.lab.study.keys import read_account
from attacker.lab.study.resolve import StudyCell
from attacker.plan import time_step, training_s
from shared.contract import ModelCard

Standing = Literal["done", "begun", "waiting", "shared"]


@dataclass(frozen=True)
class CellForecast:
    """What is left of one cell."""

    cell: str
    standing: Standing
    """``shared`` is a cell that equals one above it, and costs nothing."""
    queries: int
    """Clips that it has yet to buy, at most."""
    money: float
    training_s: float


@dataclass(frozen=True)
class StudyForecast:
    """What is left of a study."""

    cells: tuple[CellForecast, ...]

    def count(self, standing: Standing) -> int:
        """Return how many cells stand so."""
        return sum(one.standing == standing for one in self.cells)

    @property
    def queries(self) -> int:
        """Clips of all cells."""
        return sum(one.queries for one in self.cells)

    @property
    def money(self) -> float:
        """Price of these clips, each at its own plan's."""
        return sum(one.money for one in self.cells)

    @property
    def training_s(self) -> float:
        """Seconds of training, on all processors of this machine."""
        return sum(one.training_s for one in self.cells)


def forecast(
    cells: Sequence[tuple[StudyCell, Path]], card: ModelCard, device: str
) -> StudyForecast:
    """Return what is left of ``cells``, given with their folders; training is timed for a while."""
    seen: set[str] = set()
    steps: dict[str, float] = {}
    found = []
    for cell, folder in cells:
        shared = cell.cell.identity in seen
        seen.add(cell.cell.identity)
        found.append(_one(cell, folder, shared, steps, card, device))
    return StudyForecast(tuple(found))


def _one(
    cell: StudyCell,
    folder: Path,
    shared: bool,
    steps: dict[str, float],
    card: ModelCard,
    device: str,
) -> CellForecast:
    done = is_done(folder)
    if shared or done:
        return CellForecast(cell.name, "shared" if shared else "done", 0, 0.0, 0.0)
    experiment = cell.cell.experiment
    spec = experiment.surrogate
    # Networks and batches differ little within a study: each pair is timed once.
    kind = f"{spec.network.model_dump_json()} {spec.recipe.batch_size} {spec.recipe.precision}"
    if kind not in steps:
        steps[kind], _ = time_step(experiment, card, device)
    left = experiment.budget - bought(folder)
    trained = sum(training_s(experiment, mark, steps[kind]) for mark in experiment.planned_marks)
    begun: Standing = "waiting" if read_account(folder) is None else "begun"
    return CellForecast(cell.name, begun, left, left * cell.plan.spec.price_per_clip, trained)
