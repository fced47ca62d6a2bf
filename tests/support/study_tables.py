"""Synthetic tables of a study, whose right conclusions are known."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Rows = list[dict[str, Any]]
VICTIM, CHANCE = 0.9, 0.05
HIGH, LOW = {500: 0.5, 2000: 0.8}, {500: 0.2, 2000: 0.35}
"""By budget, what is stolen from a plan that does not help, and from one that does."""
CHECKPOINT = "c" * 64
RECIPE = "victim_service/victims/tiny.yaml"


def cells(
    plan: str,
    stolen: Mapping[int, float],
    *,
    kinds: Sequence[str] = (),
    attacker: str = "naive",
    adaptive: bool = False,
    mode: str = "soft",
    jitter: float = 0.01,
    seeds: int = 3,
    price: float = 0.001,
    alike: bool = False,
    same_as: str = "",
) -> Rows:
    """Cells of one plan and attacker: by budget the mean accuracy, seeds ``jitter`` around it.

    A seed that is lucky under the plan ``none`` is unlucky under all others unless ``alike``.
    The cells are those of the attacker ``same_as``, where one is named.
    """
    sign = 1 if alike or plan == "none" else -1
    shifts = [sign * jitter * (seed - (seeds - 1) / 2) for seed in range(seeds)]
    return [
        {
            "study": "tiny", "cell": f"{plan}-{mode}-b{budget}-{attacker}-s{seed}",
            "identity": f"{plan}-{mode}-b{budget}-{same_as or attacker}-s{seed}",
            "plan": plan, "label_mode": mode, "attacker": attacker, "adaptive": adaptive,
            "chain": json.dumps([{"kind": kind} for kind in kinds]), "budget": budget,
            "seed": seed, "bought": budget, "price_per_clip": price,
            "spent_money": budget * price, "accuracy": mean + shift,
            "fidelity": mean + shift + 0.02, "victim_accuracy": VICTIM, "chance": CHANCE,
        }
        for budget, mean in stolen.items()
        for seed, shift in enumerate(shifts)
    ]  # fmt: skip


def both(plan: str, naive: Mapping[int, float], adaptive: Mapping[int, float], **more: Any) -> Rows:
    """Cells of a defended plan under the naive and the adaptive attacker."""
    more.setdefault("kinds", (plan,))
    known = cells(plan, adaptive, attacker="adaptive", adaptive=True, **more)
    return cells(plan, naive, **more) + known


def shared(plan: str, stolen: Mapping[int, float], **more: Any) -> Rows:
    """Cells of a defended plan in two rows: a naive attacker's, and an adaptive one's who does the
    same."""
    more.setdefault("kinds", (plan,))
    same = cells(plan, stolen, attacker="adaptive", adaptive=True, same_as="naive", **more)
    return cells(plan, stolen, **more) + same


def stop(rows: Rows, *seeds: int) -> Rows:
    """Return ``rows`` with all of these seeds stopped before a surrogate could be trained."""
    dry = {"accuracy": None, "fidelity": None, "bought": 3}
    return [row | dry if row["seed"] in seeds else row for row in rows]


def honest(plan: str, user: str = "single_speaker", seeds: int = 2, **change: Any) -> Rows:
    """Rows of one honest user: nothing is lost unless ``change`` says so."""
    row = {
        "study": "tiny", "plan": plan, "user": user, "clips": 200, "answered": 200, "refused": 0,
        "accuracy": VICTIM, "victim_accuracy": VICTIM, "ece": 0.03, "victim_ece": 0.03, "l1": 0.0,
        "p50_ms": 4.0, "p99_ms": 9.0, "base_p50_ms": 4.0, "windows": 0, "alarms": 0,
    }  # fmt: skip
    return [{**row, "seed": seed, **change} for seed in range(seeds)]


def detection(detector: str, attacker: str, seed: int = 0, **change: Any) -> dict[str, Any]:
    """One detector's row of one attacker, caught at the 150th clip, between two marks."""
    row = {
        "study": "tiny", "detector": detector, "attacker": attacker, "seed": seed, "queries": 2000,
        "windows": 40, "alarms": 30, "threshold": 0.7, "false_alarm_target": 0.001,
        "first_alarm_query": 150, "stolen_mark": 100, "stolen_at_alarm": 0.11, "next_mark": 500,
        "stolen_at_next": 0.31, "last_mark": 2000, "accuracy": 0.6,
    }  # fmt: skip
    return {**row, **change}


def manifest(documents: Mapping[tuple[str, str], Mapping[str, Any]], **change: Any) -> Any:
    """The manifest of a study whose plans, by id and label mode, are these documents."""
    sold = {place: f"study-{'-'.join(place)}-12345678" for place in documents}
    return {
        "study": {
            "name": "tiny", "title": "A tiny study", "victim": RECIPE, "plans": [], "attackers": []
        },
        "profile": "desk",
        "victim": {"checkpoint": CHECKPOINT},
        "plans": {sold[place]: dict(document) for place, document in documents.items()},
        "cells": [
            {"plan": plan, "label_mode": mode, "sold_as": sold[plan, mode]}
            for plan, mode in documents
        ],
        "command": "earshot-attacker study tiny.yaml --bundle bundle",
        "commit": "a" * 40,
        "lock_sha256": "b" * 64,
        "written_at": "2026-11-26T10:00:00+0000",
        **change,
    }  # fmt: skip


def write(folder: Path, rows: Iterable[Mapping[str, Any]], name: str = "cells") -> Path:
    """Write ``rows`` as the table ``name`` of the study in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), folder / f"{name}.parquet")
    return folder


def write_all(
    folder: Path,
    rows: Rows,
    honest_rows: Rows = (),  # type: ignore[assignment]
    detections: Rows = (),  # type: ignore[assignment]
    facts: Any = None,
) -> Path:
    """Write a study's folder; a table without rows is not there."""
    write(folder, rows)
    for name, found in (("honest", honest_rows), ("detections", detections)):
        if found:
            write(folder, found, name)
    if facts is not None:
        (folder / "study.json").write_text(json.dumps(facts))
    return folder
