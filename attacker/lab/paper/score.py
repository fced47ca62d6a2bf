"""Scores the surrogates of finished cells on the victim's test split, each once.

The victim labels its test split once for all cells. What a cell came to is kept in the cell's own
folder under the ids of its surrogates, so that a page is quickly made again.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from attacker.cells.cell import DONE_NAME, read_done
from attacker.errors import CellUnfinished
from attacker.lab.bundle import Bundle
from attacker.lab.evaluate import LAB_FOLDER, Ask, Cache, Predict
from attacker.lab.paper.cells import AIM, CellScore
from attacker.lab.reading import read_run
from attacker.lab.scores import Ruler
from attacker.tables.schema import CAMPAIGN
from shared.checkpoint import write_atomically
from shared.config import Frozen

_SEED = 0
"""Of the resampled test clips, so that all cells have the same."""


class _Kept(Frozen):
    """A cell's score as it is kept, with all that it depends on."""

    version: int = 1
    victim: str
    bundle_sha256: str
    surrogates: dict[str, str]
    """Checkpoint ids by number of queries."""
    score: CellScore


@dataclass(frozen=True)
class CellFacts:
    """What was noted of a cell when it was finished."""

    took_s: float
    """Wall time of the start that finished it."""
    bought: int
    surrogates: dict[str, str]
    """Checkpoint ids by number of queries."""


@dataclass(frozen=True)
class Scorer:
    """The ruler of one victim: its test split with its own labels."""

    bundle: Bundle
    ruler: Ruler
    predict: Predict
    corpora: Path
    """Cache of decoded corpora."""

    @classmethod
    def of(cls, bundle: Bundle, home: Path, ask: Ask, predict: Predict, corpora: Path) -> "Scorer":
        """Return the scorer of ``bundle``; what the victim says is kept below ``home``.

        Raises:
            EarshotError: the victim has to be asked and cannot be.
        """
        cache = Cache(home / LAB_FOLDER / "cache", bundle)
        victim = cache.remember(bundle.checkpoint, lambda: ask(bundle.clips))
        return cls(bundle, Ruler(bundle, victim, seed=_SEED), predict, corpora)

    def score(self, folder: Path, surrogates: dict[str, str] | None = None) -> CellScore:
        """Return what the finished cell in ``folder`` came to.

        ``surrogates`` are its checkpoint ids by number of queries, where it is not marked as done.

        Raises:
            EarshotError, CheckpointError: a part of it is damaged or gone.
        """
        surrogates = read_facts(folder).surrogates if surrogates is None else surrogates
        path = folder / LAB_FOLDER / f"score-on-{self.bundle.sha256[:16]}.json"
        known = _read(path)
        if known is not None and self._fits(known, surrogates):
            return known.score
        kept = _Kept(
            victim=self.bundle.checkpoint,
            bundle_sha256=self.bundle.sha256,
            surrogates=surrogates,
            score=self._measure(folder, surrogates),
        )
        write_atomically(path, (kept.model_dump_json(indent=1) + "\n").encode())
        return kept.score

    def _fits(self, known: _Kept, surrogates: dict[str, str]) -> bool:
        whose = (known.victim, known.bundle_sha256, known.surrogates)
        return whose == (self.bundle.checkpoint, self.bundle.sha256, surrogates)

    def _measure(self, folder: Path, surrogates: dict[str, str]) -> CellScore:
        run = read_run(folder, cache=self.corpora)
        self.bundle.demand_victim(run.victim.checkpoint, who=f"the victim of {folder.name}")
        campaign = next(item for item in run.campaigns if item.name == CAMPAIGN)
        # A campaign that went on later has one of the mark that it had ended at, besides.
        own = [item for item in campaign.surrogates if str(item.queries) in surrogates]
        found = {str(item.queries): item.checkpoint for item in own}
        if found != surrogates:
            raise CellUnfinished(
                f"{folder}: its surrogates are not those that it finished with. "
                + (" ".join(run.warnings) or "Remove its done.json and run the same command again.")
            )
        said = [self.predict(item.folder, self.bundle.clips) for item in own]
        marks = tuple(
            self.ruler.score_mark(campaign, item, rows)
            for item, rows in zip(own, said, strict=True)
        )
        whole = self.ruler.score_campaign(campaign, marks)
        return CellScore(
            bought=whole.queries,
            kept=whole.volume,
            coverage=whole.coverage,
            refusals=whole.refusals,
            retries=whole.retries,
            marks=tuple(mark.model_copy(update={"recall": ()}) for mark in marks),
            leads=tuple(self.ruler.lead(rows, AIM) for rows in said),
            warnings=run.warnings,
        )


def read_facts(folder: Path) -> CellFacts:
    """Return what was noted of the finished cell in ``folder``.

    Raises:
        CellUnfinished: the note is damaged.
    """
    try:
        facts = read_done(folder)
        campaign = facts[CAMPAIGN]
        return CellFacts(
            took_s=float(facts["took_s"]),
            bought=int(campaign["bought"]),
            surrogates={str(mark): str(name) for mark, name in campaign["surrogates"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CellUnfinished(
            f"{folder / DONE_NAME}: damaged ({type(error).__name__}). Remove it and run the same "
            "command again; what was bought is kept."
        ) from error


def _read(path: Path) -> _Kept | None:
    """Return what is kept at ``path``; a file that is missing or damaged counts as none."""
    try:
        return _Kept.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, ValueError):
        return None
