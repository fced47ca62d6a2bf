"""Invented results of the paper's tables, for tests of how they are decided and shown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attacker.campaign import iteration_ends
from attacker.lab.paper.cells import CellResult, CellScore
from attacker.lab.paper.checks import complete
from attacker.lab.paper.claims import decide
from attacker.lab.paper.curve import mean_curve
from attacker.lab.paper.findings import PaperResults, TableResult, VictimFacts
from attacker.lab.paper.lines import lines_of
from attacker.lab.paper.read import row_result, sheet_of
from attacker.lab.results import Estimate, MarkResult
from attacker.samplers import SamplerContext
from attacker.samplers.dynamic_threshold import DynamicThresholdSpec
from attacker.samplers.static_threshold import StaticThresholdSpec
from attacker.tables.curve import CurvePoint, replay
from attacker.tables.manifest import TableRun
from attacker.tables.schema import Row, Table
from shared.contract import ModelCard

CHECKPOINT = "c0ffee" * 10 + "beef"
LABELS = tuple(f"speaker-{number:02d}" for number in range(30))
CARD = ModelCard(
    labels=list(LABELS), sample_rate_hz=4000, clip_samples=4096, label_mode="soft",
    checkpoint=CHECKPOINT, max_batch_clips=64,
)  # fmt: skip
VICTIM = VictimFacts(
    checkpoint=CHECKPOINT,
    recipe="victim_service/victims/asc.yaml",
    labels=len(LABELS),
    sample_rate_hz=4000,
    clip_samples=4096,
    test_clips=960,
    accuracy=Estimate(value=0.952, low=0.939, high=0.964),
)


def estimate(value: float) -> Estimate:
    """Return ``value`` with an interval of two points to both sides."""
    return Estimate(value=value, low=max(0.0, value - 0.02), high=min(1.0, value + 0.02))


def score(
    accuracy: float, coverage: float = 0.9, volume: int = 1000, bought: int = 1000
) -> CellScore:
    """Return what a cell with one surrogate came to."""
    mark = MarkResult(
        queries=bought, volume=volume, coverage=coverage, kept_coverage=coverage,
        checkpoint="ab" * 32, accuracy=estimate(accuracy), fidelity=estimate(accuracy + 0.01),
        kl_nats=estimate(1.2), recall=(),
    )  # fmt: skip
    return CellScore(
        bought=bought, kept=volume, coverage=coverage, refusals={}, retries=0, marks=(mark,)
    )


def cell(seed: int, found: CellScore | None, **changes: Any) -> CellResult:
    """Return a finished cell, or with no score one that was not run."""
    facts: dict[str, Any] = {
        "seed": seed,
        "folder": f"c0ffee/cells/row-s{seed}",
        "state": "not run",
    }
    if found is not None:
        facts |= {"state": "done", "took_s": 95.0 + seed, "bought": found.bought, "score": found}
    return CellResult.model_validate({**facts, **changes})


def table_run(table: Table, profile: str = "desk") -> TableRun:
    """Return a run of ``table`` without any cell."""
    return TableRun(
        folder=Path("runs/paper/c0ffee") / f"{table.name}-{profile}",
        table=table,
        profile=profile,
        victim=CARD,
        cells={row.id: () for row in table.rows},
        command=f"earshot-attacker run attacker/experiments/paper/{table.name}.yaml",
        commit="1234567890" * 4,
    )


def table_result(
    table: Table, cells: Mapping[str, Sequence[CellResult]], victim: VictimFacts = VICTIM
) -> TableResult:
    """Return the result of ``table`` whose rows have these ``cells``, every claim decided."""
    run = table_run(table)
    rows = tuple(row_result(row, cells.get(row.id, ())) for row in table.rows)
    curve = mean_curve(_curve(table)) if table.curve is not None else ()
    decisions: Any = ()
    lines: Any = ()
    if victim.accuracy is not None:
        lines = lines_of(table, cells, victim.accuracy.value)
        decisions = tuple(decide(claim, sheet_of(run, rows, victim)) for claim in table.claims)
    return TableResult(
        name=table.name, title=table.title, reference=table.reference, profile=run.profile,
        folder=run.folder.as_posix(), victim=victim, seeds=table.seeds, columns=table.columns,
        rows=rows, decisions=decisions, lines=lines, curve=curve,
        curve_row=table.curve.row if table.curve else "", command=run.command, commit=run.commit,
        lock_sha256="d" * 64, written_at="2024-01-01T00:00:00+0000",
    )  # fmt: skip


def _curve(table: Table) -> list[CurvePoint]:
    """Return what caps keep of labels that few speakers have most of."""
    if table.curve is None:
        return []
    rng = np.random.default_rng(5)
    law = 1 / np.arange(1, len(LABELS) + 1) ** 2
    row = table.row(table.curve.row)
    ends = iteration_ends(row.budget, row.iterations)
    context = SamplerContext(len(LABELS), np.full(len(LABELS), 96))
    points = []
    for seed in table.seeds:
        labels = rng.choice(len(LABELS), row.budget, p=law / law.sum())
        specs: list[Any] = [("tau", t, StaticThresholdSpec(tau=t)) for t in table.curve.tau]
        specs += [("alpha", a, DynamicThresholdSpec(alpha=a)) for a in table.curve.alpha]
        for parameter, value, spec in specs:
            for n in table.curve.iterations:
                queries, volume, kept = replay(labels, spec.build(context), ends[:n])
                share = kept / len(LABELS)
                points.append(CurvePoint(parameter, value, n, seed, queries, volume, share))
    return points


def paper_results(*tables: TableResult, **changes: Any) -> PaperResults:
    """Return the results of ``tables``."""
    return PaperResults.model_validate(
        {
            "tables": tables, "checks": complete([]), "leaks": (), "warnings": (),
            "command": "earshot-attacker report paper --bundle victim/bundle", "commit": "f" * 40,
            **changes,
        }
    )  # fmt: skip


def volume_of(row: Row) -> int:
    """Return about what a sampler keeps of a row's budget."""
    return row.budget if row.sampler.kind == "keep_all" else row.budget * 2 // 3
