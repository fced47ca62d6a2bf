"""SIGKILL of a real vision control: finished surrogates stay, and the others are the same."""

import json
import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from attacker.lab.vision.control import Control
from attacker.lab.vision.experiment import load_vision
from attacker.lab.vision.images import open_images
from tests.support.forked import start_attacker
from tests.support.images import PROXY_SHAPES, VICTIM_SHAPES, write_shapes

FILE = """
name: killed
image_side_px: 8
network: {depth: 10, width: 1}
recipe: {epochs: 4, batch_size: 8, drop_after_epochs: [3]}
first_layers: [0, 1, 4]
seeds: [0]
"""
CELLS = 1 + 2 * 2


def start(folder: Path, out: str) -> BaseProcess:
    words = ["vision", str(folder / "killed.yaml"), "--device", "cpu"]
    words += ["--victim-images", str(folder / "victim"), "--proxy-images", str(folder / "proxy")]
    words += ["--out", str(folder / out), "--cache", str(folder / "cache")]
    return start_attacker(words, folder / "log")


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time and bytes of each finished row."""
    found = (folder / "cells").glob("*.json")
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def kill_after(process: BaseProcess, out: Path, rows: int) -> dict[str, tuple[int, bytes]]:
    """Kill ``process`` at the first moment at which ``rows`` rows are finished."""
    deadline = time.monotonic() + 150
    while len(files(out)) < rows and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.pid is not None
    assert process.is_alive(), "it ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.join(20)
    return files(out)


def untimed(rows: dict[str, tuple[int, bytes]]) -> dict[str, Any]:
    plain = {name: json.loads(data) for name, (_, data) in rows.items()}
    return {name: {**row, "duration_s": None} for name, row in plain.items()}


def calm_run(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The rows of the same control, which nobody kills, made in this process."""
    sets = (open_images(folder / name, 8, folder / "cache") for name in ("victim", "proxy"))
    control = Control(load_vision(folder / "killed.yaml"), *sets, folder / "calm")
    control.carry_out(lambda *_: None, ["vision"])
    return files(folder / "calm")


@pytest.mark.timeout(600)
def test_a_killed_control_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    write_shapes(tmp_path / "victim", VICTIM_SHAPES, 5)
    write_shapes(tmp_path / "proxy", PROXY_SHAPES, 5, seed=1)
    (tmp_path / "killed.yaml").write_text(FILE)
    out, kept = tmp_path / "killed", {}
    for rows in (1, 2):
        found = kill_after(start(tmp_path, "killed"), out, rows)
        assert rows <= len(found) < CELLS
        assert kept.items() <= found.items()
        kept = found
    assert not (out / "results.json").exists()
    process = start(tmp_path, "killed")
    process.join(200)
    assert process.exitcode == 0, (tmp_path / "log").read_text()
    ended = files(out)
    assert kept.items() <= ended.items()  # not one byte or time of them changed
    assert len(ended) == CELLS
    assert untimed(ended) == untimed(calm_run(tmp_path))
    assert (out / "report.html").is_file()
