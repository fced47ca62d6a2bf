"""A copy of the repository in which every shipped experiment is cut down to seconds."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import soundfile
import yaml

ROOT = Path(__file__).parents[2]
NOT_COPIED = (".git", ".venv", "runs", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis")
_RECIPE = {"epochs": 1, "batch_size": 16}


def small_copy(folder: Path) -> Path:
    """Copy the sources, with ``.venv`` as a link, and cut the YAML files down."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    venv = Path(sys.prefix)
    (folder / ".venv").symlink_to(venv)
    (venv / ".installed").touch()  # the tests run in it, so it is there: do not install again
    cut_down(folder)
    return folder


def cut_down(folder: Path) -> None:
    """Make every size in the shipped YAML files small; names, kinds and structure stay."""
    voices = {"speakers": 4, "clips_per_speaker": 8}
    for name in ("demo", "asc"):
        with edited(folder / f"victim_service/victims/{name}.yaml") as data:
            data["recipe"] = _RECIPE
            if name == "demo":
                data["corpus"] |= voices
        with edited(folder / f"attacker/experiments/{name}.yaml") as data:
            data |= {"budget": 96, "marks": [48, 96]}
            data["surrogate"]["recipe"] = _RECIPE
            if name == "demo":
                data["proxy"] |= voices
    with edited(folder / "attacker/wavegan/configs/wakewords.yaml") as data:
        data["gan"] |= {"dim": 2, "batch_size": 4, "steps": 2, "preview_every": 2}


class edited:  # noqa: N801 - reads as a verb
    """Edit a YAML file in place."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> dict:
        self.data = yaml.safe_load(self.path.read_text())
        return self.data

    def __exit__(self, *_: object) -> None:
        self.path.write_text(yaml.safe_dump(self.data, sort_keys=False))


def speech_folder(folder: Path) -> Path:
    """Make ``asc`` and ``wakewords`` in their published layout out of a few noisy tones."""
    rng = np.random.default_rng(0)
    time_s = np.arange(16_000) / 16_000
    for corpus, speakers in (("asc", 4), ("wakewords", 3)):
        for speaker in range(speakers):
            target = folder / corpus / f"{speaker:02d}"
            target.mkdir(parents=True)
            for clip in range(10):
                tone = 0.3 * np.sin(2 * np.pi * (150 + 70 * speaker + 3 * clip) * time_s)
                wave = tone + rng.normal(0, 0.03, len(tone))
                soundfile.write(target / f"word-{clip:02d}.flac", wave, 16_000)
    return folder


def environment(**variables: str) -> dict[str, str]:
    """Return an environment without settings of the person who runs the tests."""
    own = ("EARSHOT_", "VICTIM_", "PYTEST_", "MAKE", "MFLAGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return kept | {"OMP_NUM_THREADS": "1"} | variables


CURL = """#!/usr/bin/env python3
# Stands in for curl where there is none: prints what a URL answers, with the headers given.
import sys, urllib.request
words, headers, url = sys.argv[1:], {}, ""
while words:
    word = words.pop(0)
    if word == "-H":
        name, _, value = words.pop(0).partition(":")
        headers[name] = value.strip()
    elif not word.startswith("-"):
        url = word
print(urllib.request.urlopen(urllib.request.Request(url, headers=headers)).read().decode())
"""


def search_path(folder: Path) -> str:
    """Return a PATH on which there is a ``curl``."""
    if shutil.which("curl") is None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "curl").write_text(CURL)
        (folder / "curl").chmod(0o755)
        return f"{folder}:{os.environ['PATH']}"
    return os.environ["PATH"]
