"""What was found in all tables, as frozen models that are written as results.json."""

from typing import Literal

from attacker.lab.paper.cells import CellResult
from attacker.lab.paper.claims import Decision
from attacker.lab.paper.lines import Line
from attacker.lab.results import Estimate
from attacker.lab.spread import Spread
from attacker.tables.claims import Figure
from attacker.tables.schema import PaperFigures
from shared.config import Frozen


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
    lines: tuple[Line, ...] = ()
    """Accuracy against queries, where the table says so or a row has several marks."""
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
    def of_paper(self) -> tuple[Decision, ...]:
        """What the paper says; a table that it does not print says nothing of it."""
        return tuple(one for one in self.decisions if self.reference and not one.ours)

    @property
    def of_ours(self) -> tuple[Decision, ...]:
        """What we asked of it, and the paper does not say."""
        return tuple(one for one in self.decisions if one.ours or not self.reference)

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
