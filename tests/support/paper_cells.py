"""A tiny table that was run: real journals and surrogates on disk, bought in this process."""

import asyncio
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from attacker.cells.cell import Cell, inspect, mark_done
from attacker.lab.bundle import Bundle, read_bundle
from attacker.live import CampaignView, View
from attacker.material import Material
from attacker.run_folder import RunFolder
from attacker.tables.manifest import CELLS, victim_folder, write_manifest
from attacker.tables.resolve import resolve
from attacker.tables.schema import Table
from attacker.theft import buy, train_surrogates
from shared.audio import from_int16, to_wav
from shared.checkpoint import load, load_card
from shared.config import validate
from shared.contract import ModelCard
from shared.networks import KnaggCNNSpec
from shared.training import predict
from tests.support.fake_oracle import FakeOracle
from tests.support.victims import make_clips, make_victim

TOOK_S = 61.5
_NETWORK = {"kind": "knagg_cnn", "filters": 4, "embedding": 8}
_RECIPE = {"epochs": 1, "batch_size": 16}


class ModelOracle(FakeOracle):
    """A victim in this process that answers with its own checkpoint."""

    def __init__(self, folder: Path) -> None:
        tensors, card = load(folder)
        super().__init__(n_classes=len(card["labels"]), slow=False)
        self.model = KnaggCNNSpec.model_validate(card["network"]).build(len(card["labels"]))
        self.model.load_state_dict(tensors)
        self.facts = card

    async def card(self) -> ModelCard:
        """Return the victim's card."""
        return ModelCard(
            labels=self.facts["labels"],
            sample_rate_hz=self.facts["sample_rate_hz"],
            clip_samples=self.facts["clip_samples"],
            label_mode="soft",
            checkpoint=self.facts["tensors_sha256"],
            max_batch_clips=64,
        )

    def answers(self, clips: np.ndarray) -> np.ndarray:
        """Return the model's probabilities (B, K)."""
        return predict(self.model, from_int16(clips))


@dataclass(frozen=True)
class World:
    """A victim, corpora, and a table whose cells can be made one by one."""

    root: Path
    victim: Path
    table: Table
    cells: dict[str, tuple[Cell, ...]]
    card: ModelCard
    bundle: Bundle

    @property
    def out(self) -> Path:
        """Where the tables are."""
        return self.root / "paper"

    @property
    def cache(self) -> Path:
        """Where decoded corpora are."""
        return self.root / "cache"

    def place(self, row: str, number: int) -> Path:
        """Return the folder of one cell."""
        return self.cells[row][number].folder(victim_folder(self.out, self.card.checkpoint) / CELLS)

    def make(self, row: str, number: int) -> Path:
        """Buy, train and finish one cell; return its folder."""
        cell, place = self.cells[row][number], self.place(row, number)
        folder, experiment = RunFolder(place), cell.experiment
        material = Material(experiment, self.card, self.cache)
        spec, view = experiment.campaigns[0], View(Console(quiet=True))
        folder.record(experiment, experiment.seed, self.card, "http://127.0.0.1:1", ["run"])
        parts = (material.source(spec), material.sampler(spec), ModelOracle(self.victim))
        watch = CampaignView(view, spec.name, len(self.card.labels))
        asyncio.run(buy(material, spec, *parts, folder, watch))
        train_surrogates(material, spec, folder, view)
        facts = {"name": cell.name, "identity": cell.identity, **inspect(place, experiment)}
        mark_done(place, {**facts, "took_s": TOOK_S})
        return place

    def answer(self, clips: np.ndarray) -> np.ndarray:
        """Answer as the victim (N, K)."""
        return ModelOracle(self.victim).answers(clips)


def tiny_world(root: Path, **changes: Any) -> World:
    """Write a victim of five speakers, its own training clips, a proxy, and a table of both.

    Rows: ``own`` (the victim's training clips), ``proxy``, ``noise`` (with two marks) and
    ``static`` (two iterations, with a curve of other caps).
    """
    victim = make_victim(root / "victim")
    card = load_card(victim)
    counts = {name: 12 + number for number, name in enumerate(card["labels"])}
    own = _corpus(root / "own", counts, seed=20)
    _corpus(root / "proxy", {"ann": 8, "bob": 8}, seed=30)
    files = [hashlib.sha256(bytes([number])).hexdigest() for number in range(20)]
    name_test_files(victim, files)
    table = validate({**_table(own, root / "proxy"), **changes}, Table, origin="tiny")
    oracle = ModelOracle(victim)
    model_card = asyncio.run(oracle.card())
    out = root / "paper"
    cells = resolve(table, out, victim_folder(out, model_card.checkpoint)).cells
    write_manifest(out, table, "desk", model_card, dict(cells), "earshot-attacker run tiny.yaml")
    bundle = read_bundle(victim / "bundle")
    return World(root, victim, table, cells, model_card, bundle)


def name_test_files(victim: Path, files: list[str]) -> None:
    """Say in the bundle of ``victim`` that its test clips are from files with these sha256."""
    path = victim / "bundle" / "bundle.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    for entry, sha256 in zip(description["manifest"], files, strict=True):
        entry["sha256"] = sha256
    path.write_text(json.dumps(description), encoding="utf-8")


def _corpus(root: Path, counts: dict[str, int], seed: int) -> Path:
    clips = iter(make_clips(sum(counts.values()), 2048, seed=seed))
    for speaker, number in counts.items():
        for place in range(number):
            path = root / speaker / f"{place:02d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(to_wav(next(clips), 4000))
    return root


def _table(own: Path, proxy: Path) -> dict[str, Any]:
    def row(name: str, source: str, **more: Any) -> dict[str, Any]:
        label = more.pop("label", name.capitalize())
        common = {"sampler": {"kind": "keep_all"}, "budget": 40}
        return {**common, "id": name, "label": label, "source": {"kind": source}, **more}

    return {
        "name": "tiny",
        "title": "A tiny table",
        "reference": "Table 0",
        "victim": "victim_service/victims/smoke.yaml",
        "audio": {"sample_rate_hz": 4000, "clip_samples": 1024},
        "seeds": [0, 1],
        "query": {"batch_clips": 20, "in_flight": 2},
        "corpora": {
            "own": {"kind": "speaker_tree", "root": str(own)},
            "proxy": {"kind": "speaker_tree", "root": str(proxy)},
        },
        "proxy": "proxy",
        "surrogate": {"network": _NETWORK, "recipe": _RECIPE},
        "rows": [
            row("own", "proxy", proxy="own", budget=80, paper={"volume": 83170, "accuracy": 94.31}),
            row("proxy", "proxy", paper={"volume": 92607, "coverage": 85.5, "accuracy": 73.45}),
            row("noise", "gaussian_noise", marks=[20, 40]),
            row(
                "static",
                "proxy",
                sampler={"kind": "static_threshold", "tau": 10},
                iterations=2,
            ),
        ],
        "claims": [
            {"kind": "above", "text": "Own above noise", "rows": ["own"], "than": ["noise"]},
            {"kind": "at_chance", "text": "Noise fails", "rows": ["noise"]},
        ],
        "curve": {"row": "static", "alpha": [0.1, 1], "tau": [1, 5], "iterations": [1, 2]},
    }
