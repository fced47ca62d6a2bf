"""From a table to its cells: one a row and seed, with every name replaced by a place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attacker.cells.cell import Cell, essence, experiment_hash
from attacker.experiment import Experiment
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


def resolve(table: Table, out: Path) -> Resolved:
    """Return the cells of ``table``; what is trained for them is kept below ``out``.

    Raises:
        ExperimentError, CheckpointError: a folder that it names cannot be used.
    """
    wanted_generators = {name for row in table.rows if (name := _generator_of(row))}
    wanted_models = {r.initial_layers.model for r in table.rows if r.initial_layers is not None}
    made = generators(table, out, wanted_generators)
    known = models(table, out, wanted_models)
    cells = {
        row.id: tuple(_cell(table, row, seed, made, known) for seed in table.seeds)
        for row in table.rows
    }
    return Resolved(table, cells, (*made.values(), *known.values()))


def _cell(
    table: Table,
    row: Row,
    seed: int,
    made: Mapping[str, Ingredient],
    known: Mapping[str, Ingredient],
) -> Cell:
    experiment = table.experiment(row, seed)
    layers = row.initial_layers
    used = [made[name]] if (name := _generator_of(row)) else []
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
    if (name := _generator_of(row)) is not None:
        campaign = plain["campaigns"][0]
        source = {**campaign["source"], "generator": say(made[name])}
        data["campaigns"] = [{**campaign, "source": source}]
    if row.initial_layers is not None:
        layers = {
            **plain["surrogate"]["initial_layers"],
            "checkpoint": say(known[row.initial_layers.model]),
        }
        data["surrogate"] = {**plain["surrogate"], "initial_layers": layers}
    return data


def _generator_of(row: Row) -> str | None:
    name: str | None = getattr(row.source, "generator", None)
    return name
