"""Reads the tables that were run: their manifests, and where each cell of them stands."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attacker.cells.cell import bought, is_done
from attacker.cells.jobs import LOG_NAME, last_error
from attacker.errors import ExperimentError
from attacker.lab.paper.cells import CellResult, CellScore
from attacker.lab.paper.findings import RowResult, VictimFacts
from attacker.lab.paper.score import read_facts
from attacker.lab.paper.sheet import Sheet
from attacker.lab.spread import Spread, clipped, spread
from attacker.tables.claims import FIGURES, Figure
from attacker.tables.manifest import CellRecord, TableRun, read_manifest
from attacker.tables.progress import find_manifests
from attacker.tables.schema import Row
from attacker.waiting import counted
from shared.messages import explain

LOST: dict[tuple[str, str], str] = {
    ("amplify", "probability"): "p",
    ("amplify", "max_gain"): "A",
    ("pitch_shift", "probability"): "p",
    ("pitch_shift", "sigma_semitones"): "sigma",
    ("interpolate", "beta"): "beta",
    ("gaussian_noise", "sigma"): "sigma",
    ("static_threshold", "tau"): "tau",
    ("dynamic_threshold", "alpha"): "alpha",
}
"""Settings whose published values are lost or were never printed, by the letter of each."""
OURS = "†"

Score = Callable[[Path], CellScore]


def read_tables(folder: Path) -> list[TableRun]:
    """Return all tables that were run below ``folder``.

    Raises:
        ExperimentError: there is none, or a manifest is damaged.
    """
    found = [read_manifest(place) for place in find_manifests(folder)]
    if not found:
        raise ExperimentError(
            f"{folder} holds no table that was run. Run one with `earshot-attacker run "
            "attacker/experiments/paper/table1.yaml --profile desk`, or name the folder that its "
            "--out named."
        )
    ordered = sorted(found, key=lambda run: (*_order(run), run.profile))
    victims = list(dict.fromkeys(run.victim.checkpoint for run in ordered))
    return sorted(ordered, key=lambda run: victims.index(run.victim.checkpoint))


def _order(run: TableRun) -> tuple[bool, str]:
    """Tables before figures and what is beyond the paper; a victim stands where its first does."""
    return not run.table.name.startswith("table"), run.table.name


def read_rows(run: TableRun, root: Path, score: Score | None) -> tuple[RowResult, ...]:
    """Return the rows of ``run``, scored where ``score`` is given; lost cells are said to be."""
    return tuple(
        row_result(row, [_cell(record, root, score) for record in run.cells.get(row.id, ())])
        for row in run.table.rows
    )


def sheet_of(run: TableRun, rows: tuple[RowResult, ...], victim: VictimFacts) -> Sheet:
    """Return the figures that the table's claims are decided by.

    Raises:
        ValueError: the victim was not measured.
    """
    if victim.accuracy is None or victim.test_clips is None:
        raise ValueError("claims are decided for measured victims. Give the victim's bundle.")
    return Sheet(
        figures={row.id: {figure: _values(row, figure) for figure in FIGURES} for row in rows},
        settings={row.id: row.settings for row in run.table.rows},
        victim_accuracy=victim.accuracy.value,
        n_classes=victim.labels,
        test_clips=victim.test_clips,
        untrained={row.id: _untrained(row) for row in rows},
    )


def below(place: Path, root: Path) -> str:
    """Return how ``place`` is called below ``root``; a place elsewhere keeps its whole name."""
    return (place.relative_to(root) if place.is_relative_to(root) else place).as_posix()


def settings_of(row: Row) -> tuple[str, ...]:
    """Return the iterations and the lost settings of ``row``, such as ``alpha = 1 †``."""
    words = [f"n = {row.iterations}"] if row.sampler.kind != "keep_all" else []
    for part in (row.source, row.sampler):
        plain: dict[str, Any] = part.model_dump(mode="json")
        for (kind, name), letter in LOST.items():
            if plain["kind"] == kind:
                words.append(f"{letter} = {plain[name]:g} {OURS}")
    return tuple(words)


def row_result(row: Row, cells: Sequence[CellResult]) -> RowResult:
    """Return ``row`` with its ``cells`` and their means over seeds."""
    layers = row.initial_layers
    model = None
    if layers is not None:
        model = f"{layers.model}, frozen" if layers.frozen else layers.model
    bare = RowResult(
        id=row.id,
        label=row.label,
        note=row.note,
        settings=settings_of(row),
        paper=row.paper,
        cells=tuple(cells),
        figures={},
        queries=spread([cell.bought for cell in cells if cell.state == "done"]),
        source_model=model,
        known_layers=0 if layers is None else layers.count,
    )
    figures = {figure: _spread(bare, figure) for figure in FIGURES}
    return bare.model_copy(update={"figures": figures})


def _spread(row: RowResult, figure: Figure) -> Spread | None:
    found = spread(list(_values(row, figure).values()))
    return found if found is None or figure == "volume" else clipped(found)


def _values(row: RowResult, figure: Figure) -> dict[int, float]:
    """Return the figure of each finished seed that has it."""
    found: dict[int, float] = {}
    for cell in row.cells:
        if cell.score is not None and figure == "volume":
            found[cell.seed] = cell.score.kept
        elif cell.score is not None and figure == "coverage":
            found[cell.seed] = cell.score.coverage
        elif cell.last is not None:
            estimate = cell.last.accuracy if figure == "accuracy" else cell.last.fidelity
            found[cell.seed] = estimate.value
    return found


def _untrained(row: RowResult) -> tuple[int, ...]:
    """Return what was kept by each finished seed that has no surrogate."""
    scores = [cell.score for cell in row.cells if cell.score is not None]
    return tuple(score.kept for score in scores if not score.marks)


def _cell(record: CellRecord, root: Path, score: Score | None) -> CellResult:
    place = record.folder
    bare = CellResult(seed=record.seed, folder=below(place, root), state="not run")
    if not is_done(place):
        return bare.model_copy(update=_unfinished(place))
    try:
        facts = read_facts(place)
        done: dict[str, Any] = {"state": "done", "took_s": facts.took_s, "bought": facts.bought}
        if score is not None:
            found = score(place)
            done |= {"score": found, "bought": found.bought}
            if not found.marks:
                kept = counted(found.kept, "answer")
                done["reason"] = f"no surrogate was trained: {kept} kept"
        return bare.model_copy(update=done)
    except Exception as error:
        reason = explain(error)
        if reason is None:
            raise
        return bare.model_copy(update={"state": "failed", "reason": reason})


def _unfinished(place: Path) -> dict[str, Any]:
    """Say why a cell is not done, by the log of its last start."""
    try:
        lines = (place / LOG_NAME).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {"state": "not run", "reason": "not run yet"}
    paid = bought(place)
    last_start = max((n for n, line in enumerate(lines) if line.startswith("$ ")), default=0)
    reason = last_error(lines[last_start:])
    if reason is not None:
        return {"state": "failed", "reason": reason, "bought": paid}
    reason = "not finished: it runs, or was interrupted; the same command goes on"
    return {"state": "unfinished", "reason": reason, "bought": paid}
