"""Measures every table that was run below a folder, and writes the page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from attacker.errors import EarshotError, ExperimentError, JournalError
from attacker.lab.audit import AuditError, Auditor
from attacker.lab.bundle import Bundle, read_bundle
from attacker.lab.paper import checks
from attacker.lab.paper.cells import CellScore
from attacker.lab.paper.claims import Decision, decide
from attacker.lab.paper.curve import mean_curve
from attacker.lab.paper.findings import (
    CapPoint,
    Check,
    PaperResults,
    TableResult,
    VictimFacts,
)
from attacker.lab.paper.kept import demand_bundle, write_results
from attacker.lab.paper.lines import Line, lines_of
from attacker.lab.paper.read import Score, below, read_rows, read_tables, sheet_of
from attacker.lab.paper.score import Scorer
from attacker.lab.reading import predict_surrogate
from attacker.lab.report.card import hide_keys
from attacker.run_folder import commit
from attacker.tables.curve import curve_points
from attacker.tables.manifest import TableRun

Say = Callable[[str], None]


@dataclass(frozen=True)
class PaperMeasurement:
    """The tables below a folder, the bundles of their victims, and where the page goes."""

    folder: Path
    bundles: tuple[Path, ...]
    url: str
    audit_key: str | None = field(default=None, repr=False)
    """Needed by the first report of a victim only."""
    cache: Path = Path("runs/cache")
    device: str = "cpu"
    out: Path | None = None
    """The page; ``report.html`` in the folder unless given."""
    markdown: Path | None = None
    command: str = "earshot-attacker report paper"

    def carry_out(self, say: Say = lambda text: None) -> tuple[PaperResults, Path]:
        """Measure; return what was found and the path of the page.

        Raises:
            EarshotError: there is no table, or a bundle or a key does not serve, or no bundle fits.
        """
        runs = read_tables(self.folder)
        bundles = self._bundles()
        blind = demand_bundle(bundles, runs, self.folder)
        warnings = [blind] if blind else _strays(bundles, runs)
        scorers, problems = self._scorers(runs, bundles, say)
        opener = checks.Opener(self.cache)
        tables: list[TableResult] = []
        found: list[Check] = []
        leaks: list[str] = []
        unknown: list[str] = []
        compared = 0
        for run in runs:
            say(f"{run.table.name} ({run.profile})")
            scorer = scorers.get(run.victim.checkpoint)
            problem = problems.get(run.victim.checkpoint, "")
            table = self._table(run, scorer, problem, say)
            tables.append(table)
            if scorer is None:
                continue
            sheet = sheet_of(run, table.rows, table.victim)
            found += checks.check_noise(run, sheet)
            found += checks.check_own_clips(run, sheet, scorer.bundle, opener)
            more_leaks, more_unknown = checks.find_leaks(run, scorer.bundle, opener)
            leaks, unknown = leaks + more_leaks, unknown + more_unknown
            compared += 1
        results = PaperResults(
            tables=tuple(tables),
            checks=(*checks.complete(found), checks.check_leaks(leaks, unknown, compared)),
            leaks=tuple(leaks),
            warnings=tuple(warnings),
            command=hide_keys(self.command),
            commit=commit(),
        )
        say("writing the page")
        keep = blind is not None
        return results, write_results(results, self.folder, self.out, self.markdown, keep=keep)

    def _bundles(self) -> dict[str, Bundle]:
        bundles: dict[str, Bundle] = {}
        for folder in self.bundles:
            bundle = read_bundle(folder)
            if bundle.checkpoint in bundles:
                raise ExperimentError(
                    f"--bundle {folder}: another bundle of the victim {bundle.checkpoint[:12]} is "
                    "given, too. Leave one of them out."
                )
            bundles[bundle.checkpoint] = bundle
        return bundles

    def _scorers(
        self, runs: list[TableRun], bundles: Mapping[str, Bundle], say: Say
    ) -> tuple[dict[str, Scorer], dict[str, str]]:
        """Return the scorers of the victims by checkpoint, and why the others have none.

        Raises:
            EarshotError: bundles fit, and no victim of any of them can be asked.
        """
        scorers: dict[str, Scorer] = {}
        problems: dict[str, str] = {}
        refused: list[EarshotError] = []
        predict = partial(predict_surrogate, device=self.device)
        for run in runs:
            name = run.victim.checkpoint
            bundle = bundles.get(name)
            if name in scorers or name in problems:
                continue
            if bundle is None:
                problems[name] = f"give --bundle of victim {name[:12]}"
                continue
            try:
                ask = partial(self._ask, bundle, say)
                scorers[name] = Scorer.of(bundle, run.folder.parent, ask, predict, self.cache)
            except EarshotError as error:
                problems[name] = hide_keys(str(error))
                refused.append(error)
        if refused and not scorers:
            raise refused[0]
        return scorers, problems

    def _ask(self, bundle: Bundle, say: Say, clips: np.ndarray) -> np.ndarray:
        if not self.audit_key:
            raise AuditError(
                f"the victim {bundle.checkpoint[:12]} has not labelled its test split yet, and "
                "that takes an audit key. Issue one with `earshot-victim keys issue --scope "
                "audit`, and give it in EARSHOT_AUDIT_KEY or with --audit-key-file."
            )
        say(f"the victim {bundle.checkpoint[:12]} labels {len(clips):,} test clips")
        return Auditor(self.url, self.audit_key).label(bundle)

    def _table(self, run: TableRun, scorer: Scorer | None, problem: str, say: Say) -> TableResult:
        victim = _victim(run, scorer, problem)
        rows = read_rows(run, self.folder, None if scorer is None else _telling(scorer, run, say))
        decisions: tuple[Decision, ...] = ()
        lines: tuple[Line, ...] = ()
        points: tuple[CapPoint, ...] = ()
        curve_problem = ""
        if scorer is not None and victim.accuracy is not None:
            sheet = sheet_of(run, rows, victim)
            decisions = tuple(decide(claim, sheet) for claim in run.table.claims)
            cells = {row.id: row.cells for row in rows}
            lines = lines_of(run.table, cells, victim.accuracy.value)
            points, curve_problem = _curve(run, scorer.bundle)
        return TableResult(
            name=run.table.name,
            title=run.table.title,
            reference=run.table.reference,
            profile=run.profile,
            folder=below(run.folder, self.folder),
            victim=victim,
            seeds=run.table.seeds,
            columns=run.table.columns,
            rows=rows,
            decisions=decisions,
            lines=lines,
            curve=points,
            curve_row=run.table.curve.row if run.table.curve else "",
            curve_problem=curve_problem,
            command=hide_keys(run.command),
            commit=run.commit,
            lock_sha256=run.lock_sha256,
            written_at=run.written_at,
        )


def _telling(scorer: Scorer, run: TableRun, say: Say) -> Score:
    def score(folder: Path) -> CellScore:
        say(f"{run.table.name}: {folder.name}")
        return scorer.score(folder)

    return score


def _victim(run: TableRun, scorer: Scorer | None, problem: str) -> VictimFacts:
    card = run.victim
    facts = VictimFacts(
        checkpoint=card.checkpoint,
        recipe=run.table.victim,
        labels=len(card.labels),
        sample_rate_hz=card.sample_rate_hz,
        clip_samples=card.clip_samples,
        problem=problem,
    )
    if scorer is None:
        return facts
    found = scorer.ruler.score_victim()
    return facts.model_copy(update={"test_clips": found.test_clips, "accuracy": found.accuracy})


def _curve(run: TableRun, bundle: Bundle) -> tuple[tuple[CapPoint, ...], str]:
    """Return the points of the table's curve, or why there are none."""
    if run.table.curve is None:
        return (), ""
    try:
        points = curve_points(run, np.asarray(bundle.class_counts, dtype=np.int64))
    except JournalError as error:
        return (), str(error)
    problem = "" if points else f"no seed of the row {run.table.curve.row} has finished"
    return mean_curve(points), problem


def _strays(bundles: Mapping[str, Bundle], runs: list[TableRun]) -> list[str]:
    known = {run.victim.checkpoint for run in runs}
    return [
        f"A bundle of the victim {name[:12]} was given, and no table was run against it."
        for name in bundles
        if name not in known
    ]
