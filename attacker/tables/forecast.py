"""What a table will cost, before anything is spent."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from attacker.cells.cell import Cell, bought, is_done
from attacker.experiment import Experiment, SurrogateSpec
from attacker.material import Material
from attacker.plan import least_seconds, missing_clips, time_step, training_s
from attacker.tables.ingredients import Ingredient
from attacker.tables.manifest import CELLS
from attacker.tables.resolve import Resolved
from attacker.tables.schema import Table
from attacker.wavegan.config import GanConfig, TrainGanFile
from shared.contract import AccountStatus, ModelCard

_PROBE_STEPS = 3


@dataclass(frozen=True)
class RowForecast:
    """What is left of one row, over all its seeds."""

    row: str
    cells: int
    done: int
    queries: int
    """Clips that were not bought yet, at most."""
    training_s: float
    """Seconds of training that are left, if every answer is kept that may be."""


@dataclass(frozen=True)
class TableForecast:
    """What is left of a table."""

    card: ModelCard
    account: AccountStatus

    rows: tuple[RowForecast, ...]
    shared: int
    """Cells that equal another one of the table, and are counted in its row alone."""
    ingredients: dict[str, float]
    """By name, the seconds that each generator and source model takes which is not there yet."""
    price: float
    rate_s: float
    """Seconds that the plan's rate alone takes."""

    @property
    def queries(self) -> int:
        """Clips that are left to buy."""
        return sum(row.queries for row in self.rows)

    @property
    def missing(self) -> int:
        """Clips that the account will not buy."""
        return missing_clips(self.account, self.queries)

    @property
    def training_s(self) -> float:
        """Seconds of training that are left, generators and source models included."""
        return sum(row.training_s for row in self.rows) + sum(self.ingredients.values())


def forecast_table(
    table: Table,
    resolved: Resolved,
    home: Path,
    card: ModelCard,
    account: AccountStatus,
    cache: Path,
    device: str = "cpu",
) -> TableForecast:
    """Time a few steps of each training, and count what is not done yet.

    ``home`` is the victim's folder below the output folder; nobody is asked.
    """
    clock = _Clock(card, device)
    seen: set[str] = set()
    rows = []
    for row in table.rows:
        cells = [cell for cell in resolved.cells[row.id] if cell.identity not in seen]
        seen.update(cell.identity for cell in cells)
        rows.append(_row(row.id, cells, home, clock))
    queries = sum(row.queries for row in rows)
    probe = next(iter(resolved.cells.values()))[0].experiment
    return TableForecast(
        card=card,
        account=account,
        rows=tuple(rows),
        shared=sum(len(cells) for cells in resolved.cells.values()) - len(seen),
        ingredients={
            one.name: _ingredient_s(one, probe, cache, clock)
            for one in resolved.ingredients
            if one.file is not None and not is_done(one.folder)
        },
        price=queries * account.price_per_clip,
        rate_s=least_seconds(queries, account),
    )


@dataclass(frozen=True)
class _Clock:
    """Times one training step of each surrogate, once."""

    card: ModelCard
    device: str
    known: dict[str, float] = field(default_factory=dict)

    def training_s(self, experiment: Experiment, volume: int) -> float:
        spec = experiment.surrogate
        name = f"{spec.network.model_dump_json()} {spec.recipe.batch_size}"
        if name not in self.known:
            self.known[name] = time_step(experiment, self.card, self.device)[0]
        return training_s(experiment, volume, self.known[name])


def _row(name: str, cells: Sequence[Cell], home: Path, clock: _Clock) -> RowForecast:
    left = [cell for cell in cells if not is_done(cell.folder(home / CELLS))]
    queries, seconds = 0, 0.0
    for cell in left:
        experiment = cell.experiment
        queries += experiment.budget - bought(cell.folder(home / CELLS))
        most = _most_kept(cell, clock.card)
        for mark in experiment.planned_marks:
            seconds += clock.training_s(experiment, min(mark, most))
    return RowForecast(name, len(cells), len(cells) - len(left), queries, seconds)


def _most_kept(cell: Cell, card: ModelCard) -> int:
    """Return how many answers the cell's sampler may keep at most."""
    experiment = cell.experiment
    sampler = Material(experiment, card).sampler(experiment.campaigns[0])
    return experiment.budget if sampler.caps is None else int(sampler.caps.sum())


def _ingredient_s(one: Ingredient, probe: Experiment, cache: Path, clock: _Clock) -> float:
    if one.file is None:
        return 0.0
    if isinstance(one.file, TrainGanFile):
        return one.file.gan.steps * _time_gan_step(one.file.gan, clock.device)
    spec = SurrogateSpec(network=one.file.network, recipe=one.file.recipe, holdout=0.2)
    clips = len(one.file.corpus.build(cache).clips)
    return clock.training_s(probe.model_copy(update={"surrogate": spec}), clips)


class _Noise:
    """Stands in for the windows of a corpus: a step takes as long on noise."""

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(-0.5, 0.5, (count, self.samples)).astype(np.float32)


def _time_gan_step(config: GanConfig, device: str) -> float:
    from attacker.wavegan.train import Training

    training = Training(config, _Noise(config.clip_samples), device)  # type: ignore[arg-type]
    training.advance()  # the first one allocates, and is not typical
    started = time.perf_counter()
    for _ in range(_PROBE_STEPS):
        training.advance()
    return (time.perf_counter() - started) / _PROBE_STEPS
