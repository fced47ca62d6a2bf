"""A small invented world for tests of the laboratory: a bundle, a run and models that answer."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from attacker.lab.bundle import Bundle
from attacker.lab.evaluate import Findings, evaluate
from attacker.lab.records import CampaignRecord, RunRecord, SurrogateRecord
from attacker.lab.report.builder import render
from attacker.lab.report.sounds import collect_sounds
from shared.checkpoint import file_sha256
from shared.contract import ModelCard

RATE_HZ, SAMPLES = 4000, 1024
CHECKPOINT = "c0ffee" * 10 + "beef"
NAMES = ("ana", "bo", "cy", "dee", "eve", "fay")


def clips(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return tones (N, T) int16, one pitch a label."""
    rng = np.random.default_rng(seed)
    time = np.arange(SAMPLES) / RATE_HZ
    waves = [0.4 * np.sin(2 * np.pi * (150 + 90 * label) * time) for label in labels]
    noisy = np.array(waves) + rng.normal(0, 0.02, (len(labels), SAMPLES))
    return np.round(noisy * 32767).astype(np.int16)


def bundle(per_speaker: int = 20, names: tuple[str, ...] = NAMES) -> Bundle:
    """Return a bundle with ``per_speaker`` clips of each speaker."""
    labels = np.repeat(np.arange(len(names)), per_speaker).astype(np.int64)
    counts = tuple(range(50, 50 + len(names)))
    return Bundle(clips(labels), labels, names, counts, RATE_HZ, CHECKPOINT, "b" * 64)


def answers(truth: np.ndarray, k: int, right: float, seed: int) -> np.ndarray:
    """Return probabilities (N, K) whose label is the truth for a share ``right`` of the clips."""
    rng = np.random.default_rng(seed)
    wrong = rng.permutation(len(truth)) >= round(right * len(truth))
    labels = np.where(wrong, (truth + 1 + rng.integers(0, k - 1, len(truth))) % k, truth)
    rows = rng.random((len(truth), k)).astype(np.float32) * 0.1
    rows[np.arange(len(truth)), labels] += 1.0
    rows /= rows.sum(axis=1, keepdims=True)
    return rows


def campaign(name: str = "proxy-only", **changes: Any) -> CampaignRecord:
    """Return a campaign of 300 queries that kept some, with surrogates at 100, 200 and 300."""
    rng = np.random.default_rng(len(name))
    labels = rng.choice(len(NAMES), 300, p=[0.4, 0.25, 0.15, 0.1, 0.1, 0.0]).astype(np.int64)
    rank = np.array([(labels[:q] == labels[q]).sum() for q in range(300)])
    kept = rank < 60
    marks = (100, 200, 300)
    record = CampaignRecord(
        name=name,
        source="proxy",
        sampler="static_threshold",
        budget=300,
        labels=labels,
        kept=kept,
        confidence=rng.uniform(0.5, 1, 300).astype(np.float32),
        cap=np.full(len(NAMES), 60.0),
        surrogates=tuple(
            SurrogateRecord(q, int(kept[:q].sum()), f"{name}-{q}", Path(name) / str(q))
            for q in marks
        ),
        refusals={"rate-limited": 3},
        retries=3,
        remake=lambda positions: clips(labels[list(positions)]).astype(np.float32) / 32768,
    )
    return replace(record, **changes)


def run(folder: Path, *campaigns: CampaignRecord, **changes: Any) -> RunRecord:
    """Return a run of ``campaigns``; by default of proxy-only and of WaveGAN."""
    record = RunRecord(
        folder=folder,
        name="invented",
        seed=7,
        experiment_yaml="name: invented\nseed: 7\n",
        card={"commit": "abc1234", "lock_sha256": "d" * 64, "seeds": {"root": 7}},
        victim=ModelCard(
            labels=list(NAMES),
            sample_rate_hz=RATE_HZ,
            clip_samples=SAMPLES,
            label_mode="soft",
            checkpoint=CHECKPOINT,
            max_batch_clips=64,
        ),
        campaigns=campaigns or (campaign(), campaign("wavegan", source="wavegan")),
    )
    return replace(record, **changes)


class Models:
    """A victim and surrogates that answer by a given share of right labels, and count calls."""

    def __init__(self, ruler: Bundle, rights: dict[str, float] | None = None) -> None:
        self.bundle = ruler
        self.rights = rights or {}
        self.calls: list[str] = []

    def ask(self, waves: np.ndarray) -> np.ndarray:
        """Answer as the victim: right on 95 % of the clips."""
        self.calls.append("victim")
        np.testing.assert_array_equal(waves, self.bundle.clips)
        return answers(self.bundle.labels, self.bundle.n_classes, 0.95, seed=1)

    def predict(self, folder: Path, waves: np.ndarray) -> np.ndarray:
        """Answer as the surrogate in ``folder``: ``<campaign>/<queries>``."""
        self.calls.append(str(folder))
        np.testing.assert_array_equal(waves, self.bundle.clips)
        right = self.rights.get(folder.parent.name, 0.5) * (0.6 + 0.4 * int(folder.name) / 300)
        return answers(self.bundle.labels, self.bundle.n_classes, right, seed=int(folder.name))


def findings(record: RunRecord, rights: dict[str, float] | None = None) -> Findings:
    """Evaluate ``record`` on the invented bundle with few resamples."""
    ruler = bundle()
    models = Models(ruler, rights)
    return evaluate(record, ruler, ask=models.ask, predict=models.predict, resamples=300)


def page(record: RunRecord, found: Findings | None = None) -> str:
    """Return the report of ``record`` as HTML."""
    found = found or findings(record)
    sounds = collect_sounds(record, bundle(), found.victim)
    return render(record, found, sounds, ("earshot-attacker report runs/invented",))


def write_bundle(folder: Path, content: Bundle, **changes: Any) -> Path:
    """Write ``content`` as the victim's training does; ``changes`` replace members of its card."""
    folder.mkdir(parents=True)
    save_file({"clips": content.clips, "labels": content.labels}, folder / "clips.safetensors")
    card = {
        "labels": list(content.names),
        "class_counts": list(content.class_counts),
        "sample_rate_hz": content.sample_rate_hz,
        "clip_samples": content.clips.shape[1],
        "checkpoint": content.checkpoint,
        "clips_sha256": file_sha256(folder / "clips.safetensors"),
        "manifest": [],
    }
    (folder / "bundle.json").write_text(json.dumps({**card, **changes}))
    return folder
