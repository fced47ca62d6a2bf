"""A study in small, for victims of 1,024 samples: every part of one, in seconds."""

from pathlib import Path
from typing import Any

import yaml

from tests.support.changes import with_changes

TINY: dict[str, Any] = {
    "name": "tiny",
    "title": "Every part of a study",
    "victim": "victim_service/victims/smoke.yaml",
    "seeds": [0],
    "budgets": [20, 40],
    "marks": [0.5, 1],
    "label_modes": ["soft", "hard", {"id": "top2", "label_mode": "top_k", "top_k": 2}],
    "query": {"batch_clips": 10, "in_flight": 2},
    "corpora": {"proxy": {"kind": "speaker_tree", "root": "$TINY_PROXY"}},
    "proxy": "proxy",
    "plans": [
        {
            "id": "none",
            "label": "No defence",
            "price_per_clip": 0.5,
            "label_modes": ["soft", "hard"],
        },
        {
            "id": "noise",
            "label": "Noise",
            "defences": [{"kind": "noise", "added_to": "logits", "scale": 1.0}],
            "label_modes": ["hard"],
        },
    ],
    "attackers": [
        {
            "id": "naive",
            "label": "Naive",
            "source": {"kind": "proxy"},
            "sampler": {"kind": "keep_all"},
        },
        {
            "id": "adaptive",
            "label": "Adaptive",
            "adaptive": True,
            "source": {"kind": "proxy"},
            "sampler": {"kind": "keep_all"},
            "by_plan": {
                "noise": {
                    "knowledge": {"defence": True},
                    "source": {"kind": "jitter", "copies": 2},
                    "surrogate": {"answers": {"kind": "majority"}},
                }
            },
        },
    ],
    "surrogate": {
        "network": {"kind": "knagg_cnn", "filters": 4, "embedding": 8},
        "recipe": {"epochs": 1, "batch_size": 16},
    },
    "by_budget": {40: {"recipe": {"epochs": 2}}},
    "profiles": {"desk": {"audio": {"sample_rate_hz": 4000, "clip_samples": 1024}}},
}
CELLS = 12
"""Rows of TINY: 2 modes of `none` and 1 of `noise`, 2 budgets, 2 attackers."""
DISTINCT = 8
"""Attacks of TINY: against `none` both attackers do the same."""


def changed(**changes: Any) -> dict[str, Any]:
    """Return TINY with values replaced, or removed by None, at dotted paths (``__`` for a dot)."""
    return with_changes(TINY, changes)


def write_study(path: Path, **changes: Any) -> Path:
    """Write TINY with ``changes`` and return ``path``."""
    path.write_text(yaml.safe_dump(changed(**changes), sort_keys=False))
    return path
