"""The cells whose answers a generator may learn from, and where their journals lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attacker.cells.cell import Cell
from attacker.tables.answers import RowAnswers
from attacker.tables.manifest import CELLS
from attacker.tables.schema import CAMPAIGN
from attacker.wavegan.config import AnswerWeights


@dataclass(frozen=True)
class AnsweredCells:
    """The cells of a table that need no generator themselves."""

    cells: Mapping[str, Sequence[Cell]]
    """By row id, in the order of the table."""
    home: Path
    """The folder of the victim that answers."""

    def cell(self, row: str, seed: int) -> Cell:
        """Return the cell of ``row`` and ``seed``, or the first of the table that equals it.

        Equal cells are run once, under the name of the first: a job that waits for another name
        would wait for ever.
        """
        (wanted,) = (cell for cell in self.cells[row] if cell.experiment.seed == seed)
        every = (cell for cells in self.cells.values() for cell in cells)
        return next(cell for cell in every if cell.identity == wanted.identity)

    def weights(self, answers: RowAnswers, cell: Cell) -> AnswerWeights:
        """Return the weights that ``answers`` asks for, by the journal of ``cell``."""
        run = str(cell.folder(self.home / CELLS))
        return AnswerWeights(run=run, campaign=CAMPAIGN, **answers.model_dump(exclude={"row"}))
