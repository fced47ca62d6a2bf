"""Reads a run folder as the attack left it: journals, events, surrogates and the run's record."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from attacker.errors import EarshotError, ExperimentError, JournalError
from attacker.experiment import CampaignSpec, Experiment, load_experiment
from attacker.journal import Journal, Rows
from attacker.lab.records import CampaignRecord, Remake, RemakeError, RunRecord, SurrogateRecord
from attacker.material import DEFAULT_CACHE, Material
from attacker.run_folder import SURROGATES_NAME, RunFolder
from attacker.sources import Source
from attacker.surrogate import load_surrogate
from shared.audio import from_int16
from shared.checkpoint import CheckpointError, load_card
from shared.contract import ModelCard
from shared.corpora import CorpusError
from shared.training import predict

_ENDS = {
    "budget-spent": None,
    "caps-met": "its sampler had all that it wanted of every label",
    "account-exhausted": "the account's budget was spent",
    "out-of-patience": "the plan sold no more for longer than the client waits",
}


def read_run(folder: Path, *, cache: Path = DEFAULT_CACHE) -> RunRecord:
    """Read the run in ``folder``; ``cache`` holds the decoded proxy corpus, for its sounds alone.

    Raises:
        ExperimentError: the folder holds no run, or one that has not reached its victim.
        EarshotError, CheckpointError: a part of it is damaged.
    """
    place = RunFolder(folder)
    place.demand_run()
    experiment = load_experiment(place.experiment_path)
    victim = place.model_card()
    if victim is None:
        raise ExperimentError(
            f"{folder} has not reached its victim, so there is nothing to measure. Run it first: "
            f"earshot-attacker resume {folder}"
        )
    material = Material(experiment, victim, cache)
    warnings: list[str] = []
    campaigns = tuple(
        _read_campaign(place, material, spec, warnings) for spec in experiment.campaigns
    )
    return RunRecord(
        folder=folder,
        name=experiment.name,
        seed=experiment.seed,
        experiment_yaml=place.experiment_path.read_text(encoding="utf-8"),
        card=place.card(),
        victim=victim,
        campaigns=campaigns,
        warnings=tuple(warnings),
    )


def predict_surrogate(folder: Path, clips: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Return the probabilities (N, K) that the surrogate in ``folder`` gives ``clips`` int16.

    Raises:
        CheckpointError: the surrogate is missing or was altered.
    """
    model, _ = load_surrogate(folder)
    return predict(model.to(device), from_int16(clips), device=device)


def _read_campaign(
    place: RunFolder, material: Material, spec: CampaignSpec, warnings: list[str]
) -> CampaignRecord:
    experiment, victim = material.experiment, material.card
    events = place.events(spec.name)
    refusals = Counter(str(e.get("code", "unknown")) for e in events if e["event"] == "refusal")
    rows, caps, ended = _read_journal(place.campaign(spec.name), experiment, victim, warnings)
    return CampaignRecord(
        name=spec.name,
        source=spec.source.kind,
        sampler=spec.sampler.kind,
        budget=experiment.budget,
        labels=rows.labels,
        kept=rows.kept,
        confidence=_confidence(rows),
        cap=caps,
        surrogates=_read_surrogates(place, spec.name, rows, victim, warnings),
        refusals=dict(sorted(refusals.items())),
        retries=sum(event["event"] == "retry" for event in events),
        stopped=ended,
        remake=_remake(lambda: material.source(spec), rows.indices),
    )


def _read_journal(
    folder: Path, experiment: Experiment, victim: ModelCard, warnings: list[str]
) -> tuple[Rows, np.ndarray | None, str | None]:
    """Return the bought rows, the caps and why the campaign stopped before its budget was spent."""
    try:
        journal = Journal.read(folder)
    except JournalError:
        nothing = np.zeros(0, np.int64)
        empty = Rows(nothing, nothing, nothing.astype(bool), nothing)
        return empty, None, "it has not begun"
    try:
        rows, ended, identity = journal.rows(), journal.ended, journal.identity
        counts = journal.counts()
    finally:
        journal.close()
    if identity["victim"] != victim.checkpoint:
        raise JournalError(
            f"{folder}: the journal is of the victim {identity['victim'][:12]}, and the run's "
            f"record of {victim.checkpoint[:12]}. Run each victim in a folder of its own."
        )
    if counts.planned > counts.observed:
        warnings.append(
            f"{folder.name}: {counts.planned - counts.observed:,} planned queries are not in this "
            "report yet. `earshot-attacker resume` collects them without paying twice."
        )
    caps = None if identity["caps"] is None else np.array(identity["caps"], dtype=np.float64)
    if ended is None:
        return rows, caps, "it was interrupted; `earshot-attacker resume` goes on"
    return rows, caps, _ENDS.get(ended, ended)


def _confidence(rows: Rows) -> np.ndarray:
    """Return the released probability (Q,) of each answer's label; NaN in hard mode."""
    if rows.answers.ndim == 1:
        return np.full(len(rows.labels), np.nan, dtype=np.float32)
    chosen: np.ndarray = rows.answers[np.arange(len(rows.labels)), rows.labels]
    return chosen


def _read_surrogates(
    place: RunFolder, name: str, rows: Rows, victim: ModelCard, warnings: list[str]
) -> tuple[SurrogateRecord, ...]:
    """Return the surrogates by their queries; those of another journal are left out and named."""
    found = []
    for folder in sorted((place.campaign(name) / SURROGATES_NAME).glob("*")):
        if not (folder / "card.json").is_file():
            continue
        card = load_card(folder)
        try:
            queries, volume = int(card["queries"]), int(card["volume"])
            fits = card["victim_checkpoint"] == victim.checkpoint and queries <= len(rows.labels)
            fits = fits and card["transfer_sha256"] == rows.first(queries).transfer_sha256()
        except KeyError as error:
            raise CheckpointError(
                f"{folder}: its card lacks {error}. Remove the folder and resume the run."
            ) from error
        if not fits:
            warnings.append(
                f"{folder} was trained on other answers than this journal holds, and is left out. "
                "`earshot-attacker resume` trains it again."
            )
            continue
        found.append(SurrogateRecord(queries, volume, card["tensors_sha256"], folder))
    return tuple(sorted(found, key=lambda item: item.queries))


def _remake(build: Callable[[], Source], indices: np.ndarray) -> Remake:
    """Return how bought clips are made again; the source is built when they are asked for."""

    def remake(positions: Sequence[int]) -> np.ndarray:
        try:
            return build().render(indices[list(positions)])
        except (EarshotError, CheckpointError, CorpusError, OSError) as error:
            raise RemakeError(str(error)) from error

    return remake
