"""What was found in all tables, as frozen models that are written as results.json."""

from typing import Literal

from attacker.lab.paper.claims import Decision
from attacker.lab.results import Estimate, MarkResult
from attacker.lab.spread import Spread
from attacker.tables.claims import Figure
from attacker.tables.schema import PaperFigures
from shared.config import Frozen

State = Literal["done", "failed", "unfinished", "not run"]
FIGURES: tuple[Figure, ...] = ("volume", "coverage", "accuracy", "fidelity")


class CellScore(Frozen):
    """What a finished cell came to on the victim's test split."""

    bought: int
    """Clips that the victim answered and charged."""
    kept: int
    coverage: float
    """Share of the K labels that the victim gave to at least one query."""
    refusals: dict[str, int]
    retries: int
    marks: tuple[MarkResult, ...]
    """Its surrogates by their queries, without the recall of each speaker."""
    warnings: tuple[str, ...] = ()


class CellResult(Frozen):
    """One seed of a row."""

    seed: int
    folder: str
    """Below the folder that the page is about."""
    state: State
    reason: str = ""
    """Why it is not done, or has no surrogate."""
    took_s: float | None = None
    """Wall time of the start that finished it."""
    bought: int = 0
    score: CellScore | None = None

    @property
    def last(self) -> MarkResult | None:
        """Its surrogate at the most queries, if it has any."""
        return self.score.marks[-1] if self.score and self.score.marks else None


class MarkSpread(Frozen):
    """A row's surrogates after so many queries, over its seeds."""

    queries: int
    accuracy: Spread
    fidelity: Spread


class RowResult(Frozen):
    """A row of a table: what the paper printed and what was measured."""

    id: str
    label: str
    note: str
    settings: tuple[str, ...]
    """Its iterations and thresholds in words, with † where the published value is lost."""
    paper: PaperFigures
    cells: tuple[CellResult, ...]
    figures: dict[Figure, Spread | None]
    """Shares for accuracy, fidelity and coverage; answers kept for volume."""
    queries: Spread | None
    marks: tuple[MarkSpread, ...] = ()
    """By queries; several where the row trains a surrogate at more than one number of them."""
    source_model: str | None = None
    """Whose first layers its surrogates start from, as the figure names the curve."""
    known_layers: int = 0

    @property
    def finished(self) -> int:
        """Seeds whose cells are done."""
        return sum(cell.state == "done" for cell in self.cells)


class CapPoint(Frozen):
    """What one cap would have kept of a row's answers, over its seeds."""

    parameter: str
    """``alpha`` or ``tau``."""
    value: float
    iterations: int
    """n."""
    coverage: Spread
    """Share of the K labels that were kept at least once."""
    volume: Spread


class VictimFacts(Frozen):
    """A victim that was attacked, on its own test split."""

    checkpoint: str
    recipe: str
    labels: int
    sample_rate_hz: int
    clip_samples: int
    test_clips: int | None = None
    accuracy: Estimate | None = None
    """Its interval is over test clips; None where it was not measured."""
    problem: str = ""
    """Why nothing of it could be measured."""

    @property
    def name(self) -> str:
        """The first digits of its checkpoint id."""
        return self.checkpoint[:12]


class TableResult(Frozen):
    """A table that was run."""

    name: str
    title: str
    reference: str
    profile: str
    folder: str
    victim: VictimFacts
    seeds: tuple[int, ...]
    columns: tuple[Figure, ...]
    rows: tuple[RowResult, ...]
    decisions: tuple[Decision, ...]
    curve: tuple[CapPoint, ...] = ()
    curve_row: str = ""
    curve_problem: str = ""
    command: str
    commit: str | None
    lock_sha256: str | None = None
    written_at: str | None = None

    @property
    def anchor(self) -> str:
        """Its id on the page."""
        return f"{self.name}-{self.profile}-{self.victim.name}"

    @property
    def measured(self) -> bool:
        """Whether the victim's test split was at hand."""
        return not self.victim.problem

    @property
    def cells(self) -> tuple[CellResult, ...]:
        """All cells, row by row."""
        return tuple(cell for row in self.rows for cell in row.cells)


class Check(Frozen):
    """One of the laboratory's own checks."""

    name: str
    text: str
    verdict: Literal["passed", "failed", "not decided", "not checked"]
    detail: str


class PaperResults(Frozen):
    """Everything on the page."""

    version: Literal[1] = 1
    tables: tuple[TableResult, ...]
    checks: tuple[Check, ...]
    leaks: tuple[str, ...]
    """Test clips of a victim that an attack was given; such figures are worth nothing."""
    warnings: tuple[str, ...]
    command: str
    commit: str | None
