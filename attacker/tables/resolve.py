"""From a table to its cells: one a row and seed, with every name replaced by a place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attacker.cells.cell import Cell, essence, experiment_hash
from attacker.experiment import Experiment
from attacker.tables.answered import AnsweredCells
from attacker.tables.ingredients import Ingredient, generators, models
from attacker.tables.schema import Row, Table


@dataclass(frozen=True)
class Resolved:
    """A table whose cells and ingredients are known."""

    table: Table
    cells: dict[str, tuple[Cell, ...]]
    """By row id, one cell a seed."""
    ingredients: tuple[Ingredient, ...]
    """Those that a cell needs."""

    def distinct(self) -> list[Cell]:
        """Return every cell once, though rows may share it."""
        found: dict[str, Cell] = {}
        for cells in self.cells.values():
            for cell in cells:
                found.setdefault(cell.identity, cell)
        return list(found.values())


def resolve(table: Table, out: Path, home: Path) -> Resolved:
    """Return the cells of ``table``; what is trained for them is kept below ``out``.

    ``home`` is the victim's folder there, for its cells and for what is trained on its answers.

    Raises:
        ExperimentError, CheckpointError: a folder that it names cannot be used.
    """
    wanted_generators = {row.generator for row in table.rows if row.generator is not None}
    wanted_models = {r.initial_layers.model for r in table.rows if r.initial_layers is not None}
    known = models(table, out, wanted_models)

    def cells(row: Row, made: Mapping[str, Ingredient]) -> tuple[Cell, ...]:
        return tuple(_cell(table, row, seed, made, known) for seed in table.seeds)

    # First the rows without a generator: generators may learn from what they have bought.
    answered = {row.id: cells(row, {}) for row in table.rows if row.generator is None}
    made = generators(table, out, wanted_generators, AnsweredCells(answered, home))
    every = {row.id: answered.get(row.id) or cells(row, made) for row in table.rows}
    return Resolved(table, every, (*made.values(), *known.values()))


def _cell(
    table: Table,
    row: Row,
    seed: int,
    made: Mapping[str, Ingredient],
    known: Mapping[str, Ingredient],
) -> Cell:
    experiment = table.experiment(row, seed)
    layers = row.initial_layers
    used = [made[row.generator]] if row.generator is not None else []
    used += [known[layers.model]] if layers is not None else []
    identities = {one.name: one.identity for one in used}
    facts = _placed(essence(experiment), row, made, known, lambda one: identities[one.name])
    plain = experiment.model_dump(mode="json")
    placed = _placed(plain, row, made, known, lambda one: one.location)
    return Cell(
        name=experiment.name,
        identity=experiment_hash(facts),
        experiment=Experiment.model_validate(placed),
        needs=tuple(one.name for one in used if one.file is not None),
    )


def _placed(
    plain: dict[str, Any],
    row: Row,
    made: Mapping[str, Ingredient],
    known: Mapping[str, Ingredient],
    say: Callable[[Ingredient], str],
) -> dict[str, Any]:
    """Return ``plain`` with what ``say`` says of an ingredient in place of its name."""
    data = dict(plain)
    if row.generator is not None:
        campaign = plain["campaigns"][0]
        source = {**campaign["source"], "generator": say(made[row.generator])}
        data["campaigns"] = [{**campaign, "source": source}]
    if row.initial_layers is not None:
        layers = {
            **plain["surrogate"]["initial_layers"],
            "checkpoint": say(known[row.initial_layers.model]),
        }
        data["surrogate"] = {**plain["surrogate"], "initial_layers": layers}
    return data
