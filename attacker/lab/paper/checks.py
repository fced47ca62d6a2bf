"""The laboratory's checks of itself: a useless attack gets nothing, a perfect one gets it all.

And no attack may have been given a clip that it is measured on, or its figures are worth nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attacker.lab.bundle import Bundle
from attacker.lab.paper import words
from attacker.lab.paper.claims import Decision, decide
from attacker.lab.paper.findings import Check
from attacker.lab.paper.sheet import Sheet
from attacker.lab.report.words import count
from attacker.tables.claims import VICTIM, AboutEqual, AtChance
from attacker.tables.manifest import TableRun
from attacker.tables.schema import Row
from shared.corpora import CorpusError, CorpusSpec
from shared.corpora.store import ClipStore

OWN_MARGIN_POINTS = 3.0
"""How near the victim a surrogate of its own training clips must come."""
NOISE_TEXT = "A surrogate of Gaussian noise is at chance"
OWN_TEXT = (
    f"A surrogate of the victim's own training clips is within {OWN_MARGIN_POINTS:g} points of it"
)
_WORDS = {"holds": "passed", "does not hold": "failed", "not decided": "not decided"}


@dataclass(frozen=True)
class Files:
    """The audio files of a corpus, by sha256, and its speakers."""

    sha256: frozenset[str]
    speakers: frozenset[str]
    clips: int


Open = Callable[[CorpusSpec, int], Files]
"""A corpus and a sample rate in Hz -> its files, or CorpusError."""


class Opener:
    """Opens corpora, each once; what is decoded already is not decoded again."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self._known: dict[str, Files | CorpusError] = {}

    def __call__(self, spec: CorpusSpec, sample_rate_hz: int) -> Files:
        """Return the files of the corpus.

        Raises:
            CorpusError: it is not on this machine, or cannot be used.
        """
        key = f"{sample_rate_hz} {spec.model_dump_json()}"
        if key not in self._known:
            try:
                store = ClipStore.open(spec.build(self.cache), sample_rate_hz, self.cache)
                sha256 = frozenset(str(one["sha256"]) for one in store.manifest)
                speakers = frozenset(str(one["speaker"]) for one in store.manifest)
                self._known[key] = Files(sha256, speakers, len(store))
            except CorpusError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, CorpusError):
            raise found
        return found


def check_noise(run: TableRun, sheet: Sheet) -> Iterator[Check]:
    """Check that every row of Gaussian noise is at chance."""
    for row in run.table.rows:
        if row.source.kind == "gaussian_noise":
            decision = decide(AtChance(text="noise", rows=(row.id,)), sheet)
            yield _check(run, NOISE_TEXT, decision)


def check_own_clips(run: TableRun, sheet: Sheet, bundle: Bundle, open_: Open) -> Iterator[Check]:
    """Check that every row of the victim's own training clips comes within three points of it."""
    for row in run.table.rows:
        enough = row.budget >= sum(bundle.class_counts)  # each clip once, or it proves nothing
        if row.source.kind != "proxy" or row.initial_layers is not None or not enough:
            continue
        if not _is_own(run, row, bundle, open_):
            continue
        claim = AboutEqual(
            text="own clips", rows=(row.id,), than=(VICTIM,), margin_points=OWN_MARGIN_POINTS
        )
        yield _check(run, OWN_TEXT, decide(claim, sheet))


def find_leaks(run: TableRun, bundle: Bundle, open_: Open) -> tuple[list[str], list[str]]:
    """Return where test clips of the victim were given to an attack, and what was not looked at."""
    leaks, unknown = [], []
    if not bundle.files:
        return [], [f"{run.table.name}: the bundle does not name the files of its test clips"]
    for where, spec in _corpora(run):
        try:
            files = open_(spec, bundle.sample_rate_hz)
        except CorpusError as error:
            unknown.append(f"{run.table.name}, {where}: {error}")
            continue
        shared = len(files.sha256 & bundle.files)
        if shared:
            leaks.append(
                f"{run.table.name}, {where}: {shared:,} of the {len(bundle.files):,} test files of "
                f"the victim {bundle.checkpoint[:12]} are among its {files.clips:,} clips."
            )
    return leaks, unknown


def check_leaks(leaks: Sequence[str], unknown: Sequence[str], compared: int) -> Check:
    """Return the check that no attack was given a clip that it is measured on."""
    verdict = "failed" if leaks else "not checked" if unknown or not compared else "passed"
    looked = f"Compared: what the attacks of {count(compared, 'table')} are made from."
    detail = " ".join(leaks) or (looked if compared else "No table was measured.")
    if unknown:
        detail += f" Not looked at: {'; '.join(unknown)}"
    return Check.model_validate(
        {
            "name": "leak",
            "text": "No test clip of a victim is among the clips of an attack (by sha256)",
            "verdict": verdict,
            "detail": detail,
        }
    )


def complete(found: Sequence[Check]) -> tuple[Check, ...]:
    """Return the checks of rows; one that no table has a row for is said not to be made."""
    named = {check.name for check in found}
    detail = "No table that was measured has such a row."
    missing = [
        Check(name=name, text=text, verdict="not checked", detail=detail)
        for name, text in (("at_chance", NOISE_TEXT), ("about_equal", OWN_TEXT))
        if name not in named
    ]
    return (*found, *missing)


def _is_own(run: TableRun, row: Row, bundle: Bundle, open_: Open) -> bool:
    """Whether the proxy of ``row`` is the whole of the victim's training split."""
    spec = run.table.corpora[row.proxy or run.table.proxy]
    try:
        files = open_(spec, bundle.sample_rate_hz)
    except CorpusError:
        return False
    same = files.speakers == frozenset(bundle.names)
    return same and files.clips == sum(bundle.class_counts)


def _corpora(run: TableRun) -> Iterator[tuple[str, CorpusSpec]]:
    """Yield what the attacks of the table are made from, each corpus once."""
    table = run.table
    seen: set[str] = set()
    found: list[tuple[str, CorpusSpec]] = []
    for row in table.rows:
        found += [(f"row {row.id}", table.experiment(row, seed).proxy) for seed in table.seeds]
    generators = {getattr(row.source, "generator", None) for row in table.rows}
    models = {row.initial_layers.model for row in table.rows if row.initial_layers is not None}
    found += [
        (f"generator {name}", table.corpora[one.corpus])
        for name, one in table.generators.items()
        if name in generators and one.corpus is not None
    ]
    found += [
        (f"source model {name}", table.corpora[one.corpus])
        for name, one in table.models.items()
        if name in models and one.corpus is not None
    ]
    for where, spec in found:
        key = spec.model_dump_json()
        if key not in seen:
            seen.add(key)
            yield where, spec


def _check(run: TableRun, text: str, decision: Decision) -> Check:
    told = words.evidence(decision.evidence[0], decision)
    return Check.model_validate(
        {
            "name": decision.kind,
            "text": text,
            "verdict": _WORDS[decision.verdict],
            "detail": f"{run.table.name} ({run.profile}), {told}.",
        }
    )
