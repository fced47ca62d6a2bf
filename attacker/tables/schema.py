"""The schema of a table: rows that share defaults, and what was printed of each."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from attacker.errors import ExperimentError
from attacker.experiment import PROFILES, Experiment, Knowledge, Name, QuerySettings
from attacker.samplers import SamplerSpec
from attacker.samplers.dynamic_threshold import Alpha
from attacker.samplers.static_threshold import Tau
from attacker.sources import SourceSpec
from attacker.tables.answers import RowAnswers, demand_answers
from attacker.tables.claims import VICTIM, Claim, Figure, check_claims
from attacker.tables.ingredient_specs import GeneratorSpec, SourceModelSpec
from attacker.tables.lines import LineSpec, check_lines
from attacker.tables.names import demand
from shared.config import Frozen, validate
from shared.contract import ModelCard
from shared.corpora import CorpusSpec

CAMPAIGN = "attack"
"""The one campaign of every cell: equal cells of different tables must be equal in all."""


class Audio(Frozen):
    """The victim's audio that a profile is meant for."""

    sample_rate_hz: int = Field(ge=1000, le=48_000)
    clip_samples: int = Field(ge=256, le=480_000)

    def __str__(self) -> str:
        return f"{self.clip_samples:,} samples at {self.sample_rate_hz:,} Hz"

    def demand(self, card: ModelCard, url: str, *, what: str, victim: str) -> None:
        """Refuse the victim at ``url`` unless it takes this audio.

        ``what`` needs it, and ``victim`` is the recipe of one that fits.

        Raises:
            ExperimentError: it takes other audio.
        """
        takes = Audio(sample_rate_hz=card.sample_rate_hz, clip_samples=card.clip_samples)
        if takes != self:
            raise ExperimentError(
                f"{what} is for a victim that takes {self}, and the one at {url} takes {takes}. "
                f"Serve a victim of {victim}, or choose another --profile."
            )


class PaperFigures(Frozen):
    """What the paper printed of a row; None where it printed nothing, or the figure is lost."""

    volume: int | None = None
    coverage: float | None = None
    """Percent of the victim's labels."""
    accuracy: float | None = None
    """Percent."""


class KnownLayers(Frozen):
    """Starts the surrogates of a row from the first layers of one of the table's models."""

    model: str
    count: int = Field(ge=1)
    frozen: bool = False


class Row(Frozen):
    """A row of the table: one attack, run once a seed."""

    id: Name
    label: str
    note: str = ""
    """What a reader must know of the row, such as which lost value is our own choice."""
    paper: PaperFigures = PaperFigures()
    source: SourceSpec
    sampler: SamplerSpec
    iterations: int = Field(default=1, ge=1)
    budget: int = Field(ge=1)
    """Clips that one seed may spend."""
    marks: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Queries at which a surrogate is trained; the table shows the last."""
    proxy: str | None = None
    """Name of one of the table's corpora; the table's own ``proxy`` unless given."""
    initial_layers: KnownLayers | None = None
    query: dict[str, Any] = Field(default={})
    """What differs from the table's ``query``, such as ``accounts``: the number of a Sybil's."""
    knowledge: dict[str, Any] = Field(default={})
    """What is granted beyond the table's ``knowledge``."""
    surrogate: dict[str, Any] = Field(default={})
    """What differs from the table's ``surrogate``."""

    @property
    def generator(self) -> str | None:
        """Name of the table's generator whose clips it sends, if it sends such."""
        name: str | None = getattr(self.source, "generator", None)
        return name

    @property
    def settings(self) -> dict[str, float]:
        """Its numbers by the name that a claim's ``x`` uses: n, k, and those of its plug-ins."""
        found: dict[str, float] = {"n": self.iterations, "budget": self.budget}
        found["k"] = 0 if self.initial_layers is None else self.initial_layers.count
        for part in (self.source, self.sampler):
            plain = part.model_dump(mode="json")
            found |= {k: v for k, v in plain.items() if type(v) in (int, float)}
        return found


class Curve(Frozen):
    """What other caps would have kept of the answers that a row bought; no clip is bought for it.

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", figure 4.
    """

    row: str
    """The row whose answers are gone through again."""
    alpha: tuple[Alpha, ...] = ()
    tau: tuple[Tau, ...] = ()
    iterations: tuple[Annotated[int, Field(ge=1)], ...] = (1,)
    """n of each curve: how many of the row's own iterations are gone through."""

    def demand_iterations(self, row: Row) -> None:
        """Refuse an n beyond the iterations of ``row``: its line would be a copy of a shorter one.

        Raises:
            ValueError: there is one.
        """
        beyond = [n for n in self.iterations if n > row.iterations]
        if beyond:
            raise ValueError(
                f"curve.iterations names {', '.join(map(str, beyond))}, but the row {row.id} is "
                f"bought in {row.iterations} iterations. Leave out what is more, or raise the "
                "row's iterations and budget"
            )


class Table(Frozen):
    """A table with one profile's sizes."""

    name: Name
    title: str
    reference: str = ""
    """Where the paper prints it."""
    victim: str
    """The recipe of the victim that it is meant for, for messages and the report."""
    audio: Audio
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0, 1, 2), min_length=1)
    columns: tuple[Figure, ...] = ("volume", "coverage", "accuracy")
    """Figures that the report shows, in this order."""
    knowledge: Knowledge = Knowledge()
    query: QuerySettings = QuerySettings()
    corpora: dict[str, CorpusSpec]
    proxy: str
    """The corpus of rows that name none."""
    generators: dict[str, GeneratorSpec] = Field(default={})
    models: dict[str, SourceModelSpec] = Field(default={})
    surrogate: dict[str, Any]
    """As in an experiment; ``initial_layers`` are a row's own."""
    rows: tuple[Row, ...] = Field(min_length=1)
    claims: tuple[Claim, ...] = ()
    lines: tuple[LineSpec, ...] = ()
    """Which rows the report joins to a line of accuracy against queries."""
    curve: Curve | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [row.id for row in self.rows]
        if len(set(ids)) != len(ids):
            raise ValueError(f"row ids must differ: {', '.join(ids)}")
        if VICTIM in ids:
            raise ValueError(f"no row may have the id {VICTIM!r}: it means the victim in claims")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must differ: {list(self.seeds)}")
        check_claims(self.claims, {row.id: row.settings for row in self.rows})
        check_lines(self.lines, {row.id: row.budget for row in self.rows})
        if self.curve is not None:
            demand("row", self.curve.row, ids, "curve")
            self.curve.demand_iterations(self.row(self.curve.row))
        demand("corpus", self.proxy, self.corpora, "proxy")
        for name, generator in self.generators.items():
            self._check_generator(name, generator)
        for name, model in self.models.items():
            if model.corpus is not None:
                demand("corpus", model.corpus, self.corpora, f"models.{name}")
        for row in self.rows:
            self._check_row(row)
        for name, generator in self.generators.items():
            demand_answers(name, generator, self)
        return self

    @property
    def accounts(self) -> int:
        """Accounts that its cells need: those of its largest Sybil."""
        first = self.seeds[0]
        return max(self.experiment(row, first).query.accounts for row in self.rows)

    def row(self, name: str) -> Row:
        """Return the row with the id ``name``."""
        return next(row for row in self.rows if row.id == name)

    def answers_of(self, row: Row) -> RowAnswers | None:
        """Return the answers that the generator of ``row`` learns from, if it has such a one."""
        return None if row.generator is None else self.generators[row.generator].answers

    def bill(self, row: Row) -> int:
        """Return the clips that one seed of ``row`` rests on, at most.

        They are its own, and those whose answers its generator learns from: these are bought once,
        by the row that they are of, but an attack that consists of this row alone pays them, too.
        """
        answers = self.answers_of(row)
        if answers is None:
            return row.budget
        return row.budget + (answers.queries or self.row(answers.row).budget)

    def experiment(self, row: Row, seed: int) -> Experiment:
        """Return the experiment of one cell; generators and models are still names in it.

        A proxy corpus of which speakers or clips are drawn is drawn anew for each seed.

        Raises:
            ConfigError: the row does not make a valid experiment.
        """
        surrogate = merge(self.surrogate, row.surrogate)
        if row.initial_layers is not None:
            layers = row.initial_layers
            surrogate["initial_layers"] = {
                "checkpoint": layers.model,
                "count": layers.count,
                "frozen": layers.frozen,
            }
        proxy = self.corpora[row.proxy or self.proxy].model_dump(mode="json")
        if proxy["kind"] == "subset" and (proxy["speakers"] or proxy["clips"]):
            proxy["seed"] += seed
        data = {
            "name": f"{row.id}-s{seed}",
            "seed": seed,
            "profile": self._profile(),
            "knowledge": merge(self.knowledge.model_dump(mode="json"), row.knowledge),
            "proxy": proxy,
            "query": merge(self.query.model_dump(mode="json"), row.query),
            "budget": row.budget,
            "marks": list(row.marks),
            "campaigns": [
                {
                    "name": CAMPAIGN,
                    "source": row.source.model_dump(mode="json"),
                    "sampler": row.sampler.model_dump(mode="json"),
                    "iterations": row.iterations,
                }
            ],
            "surrogate": surrogate,
        }
        return validate(data, Experiment, origin=f"row {row.id}")

    def _profile(self) -> str | None:
        sizes = (self.audio.sample_rate_hz, self.audio.clip_samples)
        return next((name for name, known in PROFILES.items() if known == sizes), None)

    def _check_generator(self, name: str, generator: GeneratorSpec) -> None:
        if generator.corpus is None or generator.gan is None:
            return
        demand("corpus", generator.corpus, self.corpora, f"generators.{name}")
        rate = generator.sample_rate_hz or self.audio.sample_rate_hz
        made = Audio(sample_rate_hz=rate, clip_samples=generator.gan.clip_samples)
        if made != self.audio:
            raise ValueError(
                f"generators.{name} makes {made}, but the victim of this profile takes "
                f"{self.audio}; mend its gan.clip_samples and sample_rate_hz"
            )

    def _check_row(self, row: Row) -> None:
        where = f"row {row.id}"
        demand("corpus", row.proxy or self.proxy, self.corpora, where)
        if row.generator is not None:
            demand("generator", row.generator, self.generators, where)
        if row.initial_layers is not None:
            demand("model", row.initial_layers.model, self.models, where)
        for seed in self.seeds:
            self.experiment(row, seed)


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``under`` with ``over`` on top: mappings are merged, anything else is replaced.

    A mapping with another ``kind`` replaces the one below it, since its keys are others.
    """
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping) and _same(below, value):
            merged[name] = merge(below, value)
        else:
            merged[name] = value
    return merged


def _same(below: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return bool(value.get("kind", below.get("kind")) == below.get("kind"))
