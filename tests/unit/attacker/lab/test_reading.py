"""A run folder as the attack leaves it, read by the laboratory."""

import json
from pathlib import Path

import numpy as np
import pytest

from attacker.errors import ExperimentError, JournalError
from attacker.experiment import Experiment
from attacker.journal import Journal
from attacker.lab.reading import predict_surrogate, read_run
from attacker.lab.records import RemakeError
from attacker.material import Material
from attacker.run_folder import RunFolder
from attacker.surrogate import Clips, MarkInputs, train
from shared.checkpoint import CheckpointError
from shared.config import validate
from tests.support.lab_world import NAMES, run

VICTIM = run(Path()).victim
SETTINGS = {
    "name": "read",
    "seed": 3,
    "proxy": {"kind": "speaker_tree", "root": "nowhere"},
    "query": {"batch_clips": 30},
    "budget": 60,
    "marks": [30, 60],
    "campaigns": [
        {
            "name": "noise",
            "source": {"kind": "gaussian_noise"},
            "sampler": {"kind": "static_threshold", "tau": 12},
        },
        {"name": "proxy-only", "source": {"kind": "proxy"}, "sampler": {"kind": "keep_all"}},
    ],
    "surrogate": {
        "network": {"kind": "knagg_cnn", "filters": 4, "embedding": 8},
        "recipe": {"epochs": 1, "batch_size": 16},
    },
}


@pytest.fixture
def place(tmp_path: Path) -> RunFolder:
    """A run whose campaign `noise` bought 60 clips, trained at 30, and `proxy-only` nothing."""
    experiment = validate(SETTINGS, Experiment, origin="settings")
    folder = RunFolder(tmp_path / "run")
    folder.record(experiment, 3, VICTIM, "http://127.0.0.1:1", ["run", "--key", "secret"])
    spec = experiment.campaigns[0]
    material = Material(experiment, VICTIM, tmp_path / "cache")
    source, sampler = material.source(spec), material.sampler(spec)
    journal = Journal.open(folder.campaign("noise"), material.identity(spec, source, sampler))
    rng = np.random.default_rng(0)
    for first in (0, 30):
        batch = journal.plan(iteration=1, first_index=first, clips=30, payload_sha256="x")
        answers = rng.dirichlet(np.ones(len(NAMES)) / 3, 30).astype(np.float32)
        journal.answer(batch, answers)
        labels = answers.argmax(axis=1)
        journal.observe(batch, labels, sampler.observe(labels))
    journal.end("budget-spent")
    rows = journal.rows()
    inputs = MarkInputs(30, rows.first(30), journal.identity, VICTIM, experiment.surrogate, 3)
    journal.close()
    clips = Clips(source, rows.indices[rows.kept])
    train(inputs, clips, folder.surrogate("noise", 30))
    event = folder.on_event("noise")
    event("refusal", {"code": "rate-limited", "detail": "d"})
    event("refusal", {"code": "rate-limited", "detail": "d"})
    event("retry", {"because": "ReadError"})
    return folder


def test_a_campaign_is_read_as_it_was_bought(place: RunFolder) -> None:
    record = read_run(place.path)
    noise = record.campaigns[0]
    journal = Journal.read(place.campaign("noise"))
    rows = journal.rows()
    journal.close()
    assert (record.name, record.seed, record.victim) == ("read", 3, VICTIM)
    assert (noise.source, noise.sampler, noise.budget) == ("gaussian_noise", "static_threshold", 60)
    assert np.array_equal(noise.labels, rows.labels)
    assert np.array_equal(noise.kept, rows.kept)
    assert np.array_equal(noise.confidence, rows.answers.max(axis=1))
    assert noise.cap is not None
    assert noise.cap.tolist() == [12.0] * len(NAMES)
    assert (dict(noise.refusals), noise.retries) == ({"rate-limited": 2}, 1)
    assert noise.stopped is None
    assert "secret" not in json.dumps(dict(record.card))
    assert record.warnings == ()


def test_bought_clips_are_made_again(place: RunFolder) -> None:
    noise = read_run(place.path).campaigns[0]
    assert noise.remake is not None
    clips = noise.remake([0, 59, 3])
    assert clips.shape == (3, VICTIM.clip_samples)
    assert np.array_equal(noise.remake([59])[0], clips[1])


def test_a_corpus_that_is_gone_costs_the_clips_only(place: RunFolder) -> None:
    proxy = read_run(place.path).campaigns[1]
    assert proxy.remake is not None
    with pytest.raises(RemakeError, match="nowhere"):
        proxy.remake([0])


def test_a_campaign_that_has_not_begun_is_said_to(place: RunFolder) -> None:
    proxy = read_run(place.path).campaigns[1]
    assert (proxy.queries, proxy.volume, proxy.surrogates) == (0, 0, ())
    assert proxy.stopped == "it has not begun"


def test_surrogates_answer_and_a_changed_byte_is_refused(place: RunFolder) -> None:
    (surrogate,) = read_run(place.path).campaigns[0].surrogates
    assert surrogate.queries == 30
    assert 0 < surrogate.volume <= 30
    rows = predict_surrogate(surrogate.folder, np.zeros((5, VICTIM.clip_samples), np.int16))
    assert rows.shape == (5, len(NAMES))
    assert np.allclose(rows.sum(axis=1), 1, atol=1e-5)
    path = surrogate.folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="altered"):
        predict_surrogate(surrogate.folder, np.zeros((1, VICTIM.clip_samples), np.int16))


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("budget-spent", None),
        ("caps-met", "had all that it wanted"),
        ("account-exhausted", "account's budget was spent"),
        ("out-of-patience", "longer than the client waits"),
        (None, "resume"),
    ],
)
def test_why_a_campaign_ended_is_said(
    place: RunFolder, reason: str | None, said: str | None
) -> None:
    identity = Journal.read(place.campaign("noise")).identity
    journal = Journal.open(place.campaign("noise"), identity)
    journal.end(reason)
    journal.close()
    stopped = read_run(place.path).campaigns[0].stopped
    assert (stopped is None) if said is None else said in str(stopped)


def test_queries_in_doubt_are_named(place: RunFolder) -> None:
    identity = Journal.read(place.campaign("noise")).identity
    journal = Journal.open(place.campaign("noise"), identity)
    journal.plan(iteration=1, first_index=60, clips=7, payload_sha256="x")
    journal.close()
    assert "7 planned queries" in read_run(place.path).warnings[0]


def test_the_journal_of_another_victim_is_refused(place: RunFolder) -> None:
    card = place.card()
    card["model_card"]["checkpoint"] = "a" * 64
    (place.path / "run.json").write_text(json.dumps(card))
    with pytest.raises(JournalError, match="Run each victim in a folder of its own"):
        read_run(place.path)


def test_a_folder_without_a_run_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="holds no run"):
        read_run(tmp_path)


def test_a_run_that_never_reached_its_victim_says_what_to_do(place: RunFolder) -> None:
    (place.path / "run.json").unlink()
    with pytest.raises(ExperimentError, match="earshot-attacker resume"):
        read_run(place.path)
