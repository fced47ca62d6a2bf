"""A table in small, for victims of 1,024 samples: every part of one, in seconds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from shared import checkpoint
from shared.audio import to_wav
from shared.networks import KnaggCNNSpec
from tests.support.changes import with_changes

TINY: dict[str, Any] = {
    "name": "tiny",
    "title": "Every part of a table",
    "reference": "Table 0",
    "victim": "victim_service/victims/smoke.yaml",
    "seeds": [0, 1],
    "sampler": {"kind": "keep_all"},
    "corpora": {
        "proxy": {"kind": "speaker_tree", "root": "$TINY_PROXY"},
        "few": {
            "kind": "subset",
            "of": {"kind": "speaker_tree", "root": "$TINY_PROXY"},
            "clips": 6,
        },
    },
    "proxy": "proxy",
    "generators": {"gan": {"corpus": "proxy", "gan": {"clip_samples": 1024, "dim": 1}}},
    "models": {"victim": {"checkpoint": "$EARSHOT_VICTIM"}, "other": {"corpus": "proxy"}},
    "surrogate": {"network": {"kind": "knagg_cnn", "filters": 8, "embedding": 16}},
    "rows": [
        {
            "id": "proxy-full",
            "label": "Proxy data",
            "paper": {"volume": 138361, "coverage": 73.2, "accuracy": 64.8},
            "source": {"kind": "proxy"},
        },
        {"id": "few", "label": "A part", "proxy": "few", "source": {"kind": "proxy"}},
        {
            "id": "gan",
            "label": "WaveGAN",
            "source": {"kind": "wavegan", "generator": "gan"},
            "sampler": {"kind": "dynamic_threshold", "alpha": 0.5},
            "iterations": 2,
            "knowledge": {"class_counts": "$EARSHOT_VICTIM/class_counts.json"},
        },
        {
            "id": "known-1",
            "label": "First layer",
            "source": {"kind": "proxy"},
            "knowledge": {"first_layers": 1},
            "initial_layers": {"model": "victim", "count": 1, "frozen": True},
        },
        {
            "id": "other-2",
            "label": "First two layers of another",
            "source": {"kind": "proxy"},
            "knowledge": {"first_layers": 2},
            "initial_layers": {"model": "other", "count": 2},
        },
    ],
    "claims": [
        {"kind": "above", "text": "Generative above proxy", "rows": ["gan"], "than": ["proxy-full"]}
    ],
    "curve": {"row": "gan", "alpha": [0.5, 1], "tau": [2], "iterations": [1, 2]},
    "profiles": {
        "desk": {
            "audio": {"sample_rate_hz": 4000, "clip_samples": 1024},
            "query": {"batch_clips": 10, "in_flight": 2},
            "budget": 40,
            "surrogate": {"recipe": {"epochs": 1, "batch_size": 16}},
            "generators": {"gan": {"gan": {"steps": 2, "batch_size": 2, "preview_every": 9}}},
            "rows": {"few": {"budget": 20}},
        }
    },
}

UNSURE: dict[str, Any] = {
    "generators__unsure": {
        "corpus": "proxy",
        "gan": {
            "clip_samples": 1024,
            "dim": 1,
            "steps": 2,
            "batch_size": 2,
            "seed": 1,
            "preview_every": 9,
        },
        "answers": {"row": "proxy-full", "queries": 30, "by": "entropy", "power": 1.0},
    },
    "rows": [
        *TINY["rows"],
        {
            "id": "unsure",
            "label": "WaveGAN of what the victim is unsure of",
            "source": {"kind": "wavegan", "generator": "unsure"},
        },
    ],
}
"""Changes of TINY: one more row, whose generator learns from the answers of the first one."""


def changed(**changes: Any) -> dict[str, Any]:
    """Return TINY with values replaced at dotted paths (``__`` for a dot)."""
    return with_changes(TINY, changes)


def write_table(path: Path, **changes: Any) -> Path:
    """Write TINY with ``changes`` and return ``path``."""
    path.write_text(yaml.safe_dump(changed(**changes), sort_keys=False))
    return path


def write_proxy(root: Path, speakers: int = 3, clips: int = 12) -> Path:
    """Write a small proxy corpus below ``root`` and return it."""
    rng = np.random.default_rng(7)
    for number in range(clips):
        path = root / f"s{number % speakers}" / f"{number:02d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        tone = np.sin(np.arange(3000) * (0.2 + 0.1 * (number % speakers)))
        wave = (0.2 * tone + rng.normal(0, 0.1, 3000)).astype(np.float32)
        path.write_bytes(to_wav(wave, 4000))
    return root


def write_victim(folder: Path, seed: int = 0, labels: tuple[str, ...] = ("ann", "bob")) -> Path:
    """Write a victim's checkpoint with random weights and its class counts; return ``folder``."""
    torch.manual_seed(seed)
    network = KnaggCNNSpec(filters=8, embedding=16).build(len(labels))
    checkpoint.save(folder, network.state_dict(), {"kind": "victim", "labels": list(labels)})
    counts = {"labels": list(labels), "counts": [6] * len(labels)}
    (folder / "class_counts.json").write_text(json.dumps(counts))
    return folder
