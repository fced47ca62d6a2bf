"""Generators that learn from a victim's answers, and which rows can have bought them.

The answers are those of one cell: the row's, of the seed that the generator itself has.
"""

from typing import TYPE_CHECKING

from attacker.tables.names import demand
from attacker.wavegan.config import Weighting

if TYPE_CHECKING:
    from attacker.tables.ingredient_specs import GeneratorSpec
    from attacker.tables.schema import Table


class RowAnswers(Weighting):
    """Draws the clips of a generator's corpus by what the victim answered in a row of the table.

    The row's cell of the generator's own seed, ``gan.seed``, is finished first. What its answers
    cost is part of the bill of every row that uses the generator, see ``Table.bill``.
    """

    row: str


def demand_answers(name: str, generator: "GeneratorSpec", table: "Table") -> None:
    """Refuse the generator ``name`` of ``table`` if its answers say nothing of its clips.

    Raises:
        ValueError: there is no such row, or it sends something else than the generator's corpus,
            has no cell of its seed, or buys too little.
    """
    answers, gan = generator.answers, generator.gan
    if answers is None or gan is None or generator.corpus is None:
        return
    where = f"generators.{name}.answers"
    demand("row", answers.row, [row.id for row in table.rows], where)
    row = table.row(answers.row)
    if row.generator == name:
        raise ValueError(
            f"{where}: the row {row.id!r} itself sends clips of {name}, which cannot be made "
            "before it. Name a row whose source is `proxy`"
        )
    if row.source.kind != "proxy":
        raise ValueError(
            f"{where}: the row {row.id!r} sends {row.source.kind!r}, so its answers do not say "
            "what the victim thinks of the corpus's clips. Name a row whose source is `proxy`"
        )
    if gan.seed not in table.seeds:
        raise ValueError(
            f"{where}: the answers are those of the row's cell of the generator's own seed, "
            f"gan.seed {gan.seed}, and this table's seeds are "
            f"{', '.join(map(str, table.seeds))}. Set gan.seed to one of these"
        )
    if table.experiment(row, gan.seed).proxy != table.corpora[generator.corpus]:
        raise ValueError(
            f"{where}: the row {row.id!r} asks, in seed {gan.seed}, about other clips than those "
            f"of the corpus {generator.corpus!r}. Name a row whose proxy it is; where clips are "
            "drawn anew for each seed, they are the corpus's own with gan.seed 0 alone"
        )
    if answers.queries is not None and answers.queries > row.budget:
        raise ValueError(
            f"{where}: queries is {answers.queries}, and the row {row.id!r} buys {row.budget}. "
            "Lower queries, or leave it out to take all"
        )
