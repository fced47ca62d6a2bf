"""What cells are made from: generators and source models, each named by all it depends on."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attacker.cells.cell import content_hash, essence, place_of
from attacker.cells.jobs import Job
from attacker.errors import ExperimentError
from attacker.experiment import SurrogateSpec
from attacker.granted import granted_path
from attacker.source_model import SourceTask
from attacker.sources.wavegan import find_generator
from attacker.tables.answered import AnsweredCells
from attacker.tables.ingredient_specs import GeneratorSpec, SourceModelSpec
from attacker.tables.schema import Audio, Table
from attacker.wavegan.config import TrainGanFile
from shared import checkpoint
from shared.config import dump_yaml

CONFIG_NAME = "config.yaml"
GENERATORS, MODELS = "generators", "models"
_WATCHING = frozenset({"health", "checkpoint_every", "preview_every", "log_every"})
"""Settings of a WaveGAN's training that move no weight of it."""


@dataclass(frozen=True)
class Ingredient:
    """A generator or a source model of a table."""

    name: str
    """The name of the job that makes it, where one has to."""
    identity: str
    location: str
    """What an experiment writes where it uses it."""
    folder: Path
    file: TrainGanFile | SourceTask | None
    """What it is trained from; None where it is there already."""
    command: str = ""
    needs: tuple[str, ...] = ()
    """Names of the cells that must be finished before."""

    def job(self, options: tuple[str, ...], cost_s: float) -> Job | None:
        """Return the job that trains it, or None where it is there already."""
        if self.file is None:
            return None
        config = self.folder / CONFIG_NAME
        arguments = (self.command, str(config), "--out", str(self.folder), *options)
        return Job(
            self.name, arguments, self.folder, self._conclude, needs=self.needs, cost_s=cost_s
        )

    def write(self) -> None:
        """Write the configuration that its job reads."""
        if self.file is not None:
            text = dump_yaml(self.file)
            checkpoint.write_atomically(self.folder / CONFIG_NAME, text.encode())

    def _conclude(self) -> dict[str, Any]:
        card = checkpoint.load_card(self.folder)
        return {"checkpoint": card[checkpoint.TENSORS_HASH]}


def generators(
    table: Table, out: Path, wanted: Collection[str], answered: AnsweredCells
) -> dict[str, Ingredient]:
    """Return the ``wanted`` generators by name.

    Those with a corpus are kept below ``out``, and those that learn from a victim's answers below
    the folder of that victim.

    Raises:
        ExperimentError, CheckpointError: a given folder holds none that fits the table's audio.
    """
    found = {name: spec for name, spec in table.generators.items() if name in wanted}
    return {name: _generator(name, spec, table, out, answered) for name, spec in found.items()}


def models(table: Table, out: Path, wanted: Collection[str]) -> dict[str, Ingredient]:
    """Return the ``wanted`` source models by name; those with a corpus are kept below ``out``.

    Raises:
        ExperimentError, CheckpointError: a given checkpoint is not there.
    """
    found = {name: spec for name, spec in table.models.items() if name in wanted}
    return {name: _model(name, spec, table, out) for name, spec in found.items()}


def _generator(
    name: str, spec: GeneratorSpec, table: Table, out: Path, answered: AnsweredCells
) -> Ingredient:
    if spec.corpus is None or spec.gan is None:
        return _given_generator(name, spec, table)
    file = TrainGanFile(
        corpus=table.corpora[spec.corpus],
        sample_rate_hz=spec.sample_rate_hz or table.audio.sample_rate_hz,
        gan=spec.gan,
    )
    home = out
    needs: tuple[str, ...] = ()
    facts = essence(file)
    facts["gan"] = {key: value for key, value in facts["gan"].items() if key not in _WATCHING}
    if spec.answers is not None:
        cell = answered.cell(spec.answers.row, spec.gan.seed)
        weights = answered.weights(spec.answers, cell)
        file = file.model_copy(update={"answers": weights})
        # A cell's identity says what was asked, wherever its journal lies.
        facts["answers"] = {**essence(weights), "run": cell.identity}
        home, needs = answered.home, (cell.name,)
    identity = content_hash(facts)
    folder = place_of(home / GENERATORS, name, identity)
    return Ingredient(f"generator {name}", identity, str(folder), folder, file, "train-gan", needs)


def _given_generator(name: str, spec: GeneratorSpec, table: Table) -> Ingredient:
    folder = find_generator(spec.folder or "")
    card = checkpoint.load_card(folder)
    made = Audio(sample_rate_hz=card["sample_rate_hz"], clip_samples=card["clip_samples"])
    if made != table.audio:
        raise ExperimentError(
            f"generators.{name}: the generator in {folder} makes {made}, and the victim takes "
            f"{table.audio}. Train one for this victim, or name another folder."
        )
    identity = card[checkpoint.TENSORS_HASH]
    return Ingredient(f"generator {name}", identity, spec.folder or "", folder, None)


def _model(name: str, spec: SourceModelSpec, table: Table, out: Path) -> Ingredient:
    if spec.checkpoint is not None or spec.corpus is None:
        place = spec.checkpoint or ""
        folder = granted_path(place)
        identity = checkpoint.load_card(folder)[checkpoint.TENSORS_HASH]
        return Ingredient(f"model {name}", identity, place, folder, None)
    surrogate = SurrogateSpec.model_validate(table.surrogate)
    file = SourceTask(
        corpus=table.corpora[spec.corpus],
        sample_rate_hz=table.audio.sample_rate_hz,
        clip_samples=table.audio.clip_samples,
        network=spec.network or surrogate.network,
        recipe=spec.recipe or surrogate.recipe,
        seed=spec.seed,
    )
    identity = content_hash(essence(file))
    folder = place_of(out / MODELS, name, identity)
    return Ingredient(f"model {name}", identity, str(folder), folder, file, "train-model")
