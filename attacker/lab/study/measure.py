"""From a finished cell to its row in cells.parquet."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attacker.cells.cell import is_done, read_done
from attacker.errors import CellUnfinished, EarshotError
from attacker.lab.paper.score import Scorer
from attacker.lab.results import MarkResult
from attacker.lab.study.resolve import StudyCell
from attacker.lab.study.schema import Study
from shared.checkpoint import CheckpointError

SHARES = {"queries_to_50": 0.50, "queries_to_80": 0.80, "queries_to_95": 0.95}
"""By column, the share of the victim's accuracy that is asked for."""


@dataclass(frozen=True)
class Spending:
    """What the ledger says that a cell's accounts paid together."""

    charged: int
    money: float


@dataclass(frozen=True)
class CellRows:
    """Makes the rows of one study's finished cells."""

    study: Study
    scorer: Scorer
    home: Path
    """Folder of the victim; folders of cells are told below it."""

    def rows(
        self, cells: Sequence[tuple[StudyCell, Path]]
    ) -> tuple[list[dict[str, Any]], dict[Path, str]]:
        """Return a row for each finished one of ``cells``, given with its folder; and by folder why
        a finished one has none, in words."""
        rows, problems = [], {}
        for cell, folder in cells:
            if is_done(folder):
                try:
                    rows.append(self.row(cell, folder))
                except (EarshotError, CheckpointError) as error:
                    problems[folder] = str(error)
        return rows, problems

    def row(self, cell: StudyCell, folder: Path) -> dict[str, Any]:
        """Return the row of the finished cell in ``folder``.

        Raises:
            EarshotError, CheckpointError: a part of it is damaged or gone.
        """
        score, (spending, took_s) = self.scorer.score(folder), read_spending(folder)
        bundle, victim = self.scorer.bundle, self.scorer.ruler.score_victim().accuracy.value
        last = score.marks[-1] if score.marks else None
        audio_s = score.bought * bundle.clips.shape[1] / bundle.sample_rate_hz
        return {
            **self._about(cell),
            "bought": score.bought,
            "charged": spending.charged,
            "spent_money": spending.money,
            "kept": score.kept,
            "coverage": score.coverage,
            "accuracy": None if last is None else last.accuracy.value,
            "fidelity": None if last is None else last.fidelity.value,
            "victim_accuracy": victim,
            "chance": 1 / bundle.n_classes,
            **{name: first_mark(score.marks, share * victim) for name, share in SHARES.items()},
            "seconds": audio_s,
            "took_s": took_s,
            "folder": folder.relative_to(self.home).as_posix(),
        }

    def _about(self, cell: StudyCell) -> dict[str, Any]:
        plan, experiment = cell.plan.spec, cell.cell.experiment
        return {
            "study": self.study.name,
            "cell": cell.name,
            "identity": cell.cell.identity,
            "plan": plan.id,
            "chain": _json(plan.defences),
            "label_mode": cell.plan.mode.id,
            "budget": cell.budget,
            "attacker": cell.attacker.id,
            "adaptive": cell.attacker.adaptive,
            "knowledge": _json(experiment.knowledge.model_dump(mode="json")),
            "seed": cell.seed,
            "accounts": experiment.query.accounts,
            "price_per_clip": plan.price_per_clip,
        }


def first_mark(marks: Sequence[MarkResult], accuracy: float) -> int | None:
    """Return the least queries after which a surrogate was at ``accuracy``; None if none was."""
    return next((mark.queries for mark in marks if mark.accuracy.value >= accuracy), None)


def read_spending(folder: Path) -> tuple[Spending, float]:
    """Return what the finished cell in ``folder`` paid, and the seconds that it took.

    Raises:
        CellUnfinished: its note is damaged.
    """
    try:
        facts = read_done(folder)
        spent = Spending(int(facts["charged"]), float(facts["spent_money"]))
        return spent, float(facts["took_s"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CellUnfinished(
            f"{folder}: its done.json is damaged ({type(error).__name__}). Remove that file and "
            "run the study again; what was bought is kept."
        ) from error


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
