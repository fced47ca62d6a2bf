"""Runs the vision control: what is on disk is not trained again, so running again resumes."""

import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attacker.lab.vision.cells import Bench, fill
from attacker.lab.vision.experiment import SourceTask, VisionExperiment
from attacker.lab.vision.images import ImageSet
from attacker.lab.vision.models import Task, learn_task
from attacker.lab.vision.page import write_page
from attacker.lab.vision.results import VisionResults, summarise, write_vision_results
from attacker.run_folder import made_with
from shared.checkpoint import write_atomically
from shared.config import dump_yaml
from shared.corpora import Progress
from shared.networks import WideResNet

_PACKAGES = ("torch", "numpy", "pillow", "pydantic")


@dataclass(frozen=True)
class Control:
    """One control and the folder that it lives in, which receives:

    experiment.yaml, run.json   the resolved file, and how this was made
    models/                     the victim, and the model of the proxy's task
    cells/                      one JSON row for each surrogate
    states/                     unfinished trainings
    results.json, cells.csv, report.html
    """

    experiment: VisionExperiment
    victim: ImageSet
    proxy: ImageSet
    out: Path
    device: torch.device | str = "cpu"

    def carry_out(self, progress: Progress, argv: Sequence[str]) -> tuple[VisionResults, Path]:
        """Train what is not trained yet; return the results and the path of their page.

        Raises:
            ExperimentError: the proxy's head is asked for, and does not fit the victim's classes.
            TrainingError: a loss is no longer finite, or a saved state is altered.
            CheckpointError: a finished model was altered.
        """
        experiment = self.experiment
        experiment.demand_heads_that_fit(len(self.victim.names), len(self.proxy.names))
        card = self._record(argv)
        tasks: dict[SourceTask, Task] = {
            "victim": Task.of("victim", self.victim, experiment),
            "proxy": Task.of("proxy", self.proxy, experiment),
        }
        wanted = [task for task in tasks.values() if task.name in {"victim", *experiment.sources}]
        models = {
            task.name: learn_task(
                task, experiment, self.out / "models", device=self.device, progress=progress
            )
            for task in wanted
        }
        bench = Bench(experiment, tasks["victim"], tasks["proxy"], models, self.out, self.device)
        cells, rows = experiment.cells(), []
        for number, cell in enumerate(cells, 1):
            rows.append(fill(bench, cell, _numbered(progress, number, len(cells))))
        found = tuple(model.row for model in models.values())
        results = summarise(experiment, WideResNet.LAYERS, found, tuple(rows))
        write_vision_results(results, self.out)
        return results, write_page(results, experiment, card, self.out)

    def _record(self, argv: Sequence[str]) -> dict[str, Any]:
        """Write the resolved file and the record of this start; the first start's time is kept."""
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / "run.json"
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        card = {
            **made_with(_PACKAGES),
            "device": str(self.device),
            "command": shlex.join(["earshot-attacker", *argv]),
            "started_at": before.get("started_at", time.strftime("%Y-%m-%dT%H:%M:%S%z")),
            "victim_images": _describe(self.victim),
            "proxy_images": _describe(self.proxy),
        }
        text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
        write_atomically(path, text.encode())
        write_atomically(self.out / "experiment.yaml", dump_yaml(self.experiment).encode())
        return card


def _describe(images: ImageSet) -> dict[str, Any]:
    return {
        "folder": str(images.root),
        "classes": len(images.names),
        "images": len(images.labels),
        "sha256": images.sha256,
    }


def _numbered(progress: Progress, number: int, of: int) -> Progress:
    def tell(what: str, done: int, total: int) -> None:
        progress(f"surrogate {number} of {of}, {what}", done, total)

    return tell
