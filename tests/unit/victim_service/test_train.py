import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file

from shared.audio import to_wav
from shared.checkpoint import load, load_card
from shared.config import ConfigError, load_yaml, validate
from shared.corpora import CorpusError
from tests.support.victims import ROOT, environment
from victim_service import train as training
from victim_service.errors import StartError
from victim_service.model import Predictor
from victim_service.progress import LiveReport
from victim_service.settings import PACKAGE
from victim_service.train import VictimRecipe, load_data, train

RATE_HZ = 2000


class Silent:
    """A reporter that only remembers."""

    def __init__(self):
        self.epochs = []
        self.data = None

    def corpus_progress(self, what, done, total):
        pass

    def corpus_ready(self, data):
        self.data = data

    def step(self, done, total):
        pass

    def epoch(self, epoch):
        self.epochs.append(epoch)


def make_corpus(root, speakers=3, clips=10):
    """Speakers that differ by pitch, so that a small network can tell them apart."""
    rng = np.random.default_rng(0)
    for speaker in range(speakers):
        folder = root / f"s{speaker}"
        folder.mkdir(parents=True)
        for clip in range(clips):
            time_s = np.arange(RATE_HZ // 2) / RATE_HZ
            wave = 0.5 * np.sin(2 * np.pi * (100 + 150 * speaker) * time_s + rng.uniform(0, 6))
            wave += rng.normal(0, 0.02, len(wave))
            (folder / f"{clip}.wav").write_bytes(to_wav(wave.astype(np.float32), RATE_HZ))
    return root


def recipe_data(root, epochs=6):
    return {
        "name": "tiny",
        "corpus": {"kind": "speaker_tree", "root": str(root)},
        "sample_rate_hz": RATE_HZ,
        "clip_samples": 512,
        "network": {"kind": "knagg_cnn", "filters": 4, "embedding": 8},
        "recipe": {"epochs": epochs, "batch_size": 6, "learning_rate": 0.01, "patience": 50},
    }


def recipe(root, **options):
    return validate(recipe_data(root, **options), VictimRecipe, origin="tiny.yaml")


def test_a_training_ends_in_a_victim_with_card_bundle_and_counts(tmp_path):
    spec = recipe(make_corpus(tmp_path / "corpus"), epochs=12)
    out, reporter = tmp_path / "out", Silent()
    done = train(spec, out, tmp_path / "cache", reporter)
    card = load_card(out)
    assert done.test_accuracy.value >= 0.8
    assert card["metrics"]["test_accuracy"]["value"] == done.test_accuracy.value
    assert card["labels"] == ["s0", "s1", "s2"]
    assert len(reporter.epochs) == 12
    counted = card["corpus"]
    sizes = [counted[f"{part}_clips"] for part in ("train", "validation", "test")]
    assert sizes == [18, 6, 6]
    arrays = load_file(out / "bundle" / "clips.safetensors")
    predictor = Predictor(out)
    rows = predictor.predict(arrays["clips"].astype(np.float32) / 32768)
    predicted = rows[:, :3].argmax(axis=1)
    assert (predicted == arrays["labels"]).mean() == pytest.approx(done.test_accuracy.value)
    assert not list(out.rglob("state.safetensors"))
    assert list(out.rglob("events.out.tfevents*"))


def test_each_part_of_the_split_has_its_one_use(tmp_path, monkeypatch):
    given = []
    plain = training.fit

    def spy(network, train_part, validation_part, *rest, **more):
        given.extend([train_part, validation_part])
        return plain(network, train_part, validation_part, *rest, **more)

    monkeypatch.setattr(training, "fit", spy)
    root = make_corpus(tmp_path / "corpus")
    for clip in list((root / "s1").iterdir())[:3]:
        clip.unlink()
    spec = recipe(root, epochs=1)
    train(spec, tmp_path / "out", tmp_path / "cache", Silent())
    data = load_data(spec, tmp_path / "cache")
    assert [part.indices.tolist() for part in given] == [
        list(data.split.train),
        list(data.split.validation),
    ]
    for part in given:
        assert part.hard_labels().tolist() == part.batch(np.arange(len(part)), None)[1].tolist()
    counted = json.loads((tmp_path / "out" / "class_counts.json").read_text())
    trained = [data.store.clips[index].speaker for index in data.split.train]
    assert dict(zip(counted["labels"], counted["counts"], strict=True)) == Counter(trained)
    bundle = json.loads((tmp_path / "out" / "bundle" / "bundle.json").read_text())
    tested = [data.store.manifest[index] for index in data.split.test]
    assert bundle["manifest"] == tested


def test_a_finished_victim_is_used_again_until_recipe_or_audio_change(tmp_path):
    root = make_corpus(tmp_path / "corpus")
    out, cache = tmp_path / "out", tmp_path / "cache"
    first = train(recipe(root, epochs=1), out, cache, Silent())
    again = Silent()
    second = train(recipe(root, epochs=1), out, cache, again)
    assert second.reused
    assert not again.epochs
    assert second.checkpoint_id == first.checkpoint_id
    assert second.test_accuracy == first.test_accuracy
    assert not train(recipe(root, epochs=2), out, cache, Silent()).reused
    (root / "s0" / "0.wav").unlink()
    assert not train(recipe(root, epochs=2), out, cache, Silent()).reused
    assert not train(recipe(root, epochs=2), out, cache, Silent(), fresh=True).reused


def test_a_damaged_victim_is_trained_again(tmp_path):
    spec = recipe(make_corpus(tmp_path / "corpus"), epochs=1)
    out, cache = tmp_path / "out", tmp_path / "cache"
    train(spec, out, cache, Silent())
    (out / "bundle" / "bundle.json").unlink()
    assert not train(spec, out, cache, Silent()).reused
    assert (out / "bundle" / "bundle.json").exists()


def test_bad_files_are_named_and_counted_and_the_run_goes_on(tmp_path):
    root = make_corpus(tmp_path / "corpus")
    (root / "s1" / "empty.wav").write_bytes(b"")
    (root / "s1" / "noise.flac").write_bytes(b"not audio at all" * 20)
    data = load_data(recipe(root), tmp_path / "cache")
    assert sorted(item.path.name for item in data.store.skipped) == ["empty.wav", "noise.flac"]
    assert len(data.store.clips) == 30
    said = io.StringIO()
    with LiveReport(Console(file=said, width=200)) as report:
        report.corpus_ready(data)
    assert "2 files were left out" in said.getvalue()
    assert "empty.wav: " in said.getvalue()
    assert "noise.flac: " in said.getvalue()


def test_a_corpus_without_audio_or_with_one_speaker_is_a_clear_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="no audio"):
        load_data(recipe(tmp_path / "empty"), tmp_path / "cache")
    with pytest.raises(CorpusError, match="Add at least one more"):
        load_data(recipe(make_corpus(tmp_path / "one", speakers=1)), tmp_path / "cache")
    with pytest.raises(CorpusError, match="no such folder"):
        load_data(recipe(tmp_path / "missing"), tmp_path / "cache")


def test_speakers_with_too_few_clips_are_left_out_and_named(tmp_path):
    root = make_corpus(tmp_path / "corpus", speakers=3)
    for clip in list((root / "s1").iterdir())[:6]:
        clip.unlink()
    data = load_data(recipe(root), tmp_path / "cache")
    assert (data.names, data.left_out) == (("s0", "s2"), ("s1",))
    used = {data.store.clips[index].speaker for part in vars(data.split).values() for index in part}
    assert used == {"s0", "s2"}
    for clip in list((root / "s0").iterdir())[:6]:
        clip.unlink()
    with pytest.raises(CorpusError, match="1 speakers have 5 or more"):
        load_data(recipe(root), tmp_path / "cache")


def test_a_root_can_be_given_where_the_corpus_has_one(tmp_path):
    spec = recipe(tmp_path / "a")
    assert spec.with_root(tmp_path / "b").corpus.root == str(tmp_path / "b")
    made = spec.model_dump() | {"corpus": {"kind": "voices", "cast": "victim"}}
    with pytest.raises(StartError, match="has no folder"):
        validate(made, VictimRecipe, origin="x").with_root(tmp_path)


def test_an_unknown_corpus_is_refused_with_the_valid_kinds(tmp_path):
    data = recipe_data(tmp_path) | {"corpus": {"kind": "radio"}}
    with pytest.raises(ConfigError, match=r"corpus: unknown kind 'radio'.*speaker_tree"):
        validate(data, VictimRecipe, origin="tiny.yaml")


@pytest.mark.parametrize("path", sorted((PACKAGE / "victims").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_recipes_are_valid_and_named_as_their_files(path):
    assert load_yaml(path, VictimRecipe).name == path.stem


def test_a_killed_training_goes_on_and_ends_as_one_that_was_not(tmp_path):
    root = make_corpus(tmp_path / "corpus")
    path = tmp_path / "tiny.yaml"
    path.write_text(str(recipe_data(root, epochs=16)).replace("'", '"'))
    out, cache = tmp_path / "killed", tmp_path / "cache"
    command = [sys.executable, "-m", "victim_service", "train", str(path), "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--cache", str(cache)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not list(out.rglob("state.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "card.json").exists(), "it ended before it could be killed"
    resumed = Silent()
    train(load_yaml(path, VictimRecipe), out, cache, resumed)
    assert len(resumed.epochs) < 16
    train(load_yaml(path, VictimRecipe), tmp_path / "whole", cache, Silent())
    killed, whole = load(out)[0], load(tmp_path / "whole")[0]
    assert all((killed[name] == whole[name]).all() for name in whole)
