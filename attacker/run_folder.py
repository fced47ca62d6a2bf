"""A run's folder: where everything of it lies, and the record of how it was made."""

import hashlib
import json
import platform
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import attacker
from attacker.errors import ExperimentError
from attacker.oracle import OnEvent
from shared.config import Frozen, dump_yaml
from shared.contract import ModelCard

EXPERIMENT_NAME, RUN_NAME, EVENTS_NAME = "experiment.yaml", "run.json", "events.jsonl"
SURROGATES_NAME = "surrogates"
_SECRET_OPTIONS = frozenset({"--key", "--audit-key"})
_PACKAGES = ("torch", "numpy", "librosa", "httpx", "pydantic")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def experiment_path(self) -> Path:
        """The resolved experiment."""
        return self.path / EXPERIMENT_NAME

    def campaign(self, name: str) -> Path:
        """Return the folder of campaign ``name``, which holds its journal."""
        return self.path / name

    def surrogate(self, campaign: str, mark: int) -> Path:
        """Return the folder of the surrogate of ``campaign`` at ``mark`` queries."""
        return self.path / campaign / SURROGATES_NAME / str(mark)

    def on_event(self, campaign: str) -> OnEvent:
        """Return a listener that appends refusals, retries and the like to events.jsonl."""
        path = self.campaign(campaign) / EVENTS_NAME

        def write(event: str, facts: dict[str, Any]) -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            line = json.dumps({"at": round(time.time(), 3), "event": event, **facts})
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

        return write

    def events(self, campaign: str) -> list[dict[str, Any]]:
        """Return what the listener of ``campaign`` wrote; a last line cut short is left out."""
        path = self.campaign(campaign) / EVENTS_NAME
        found = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def demand_run(self) -> None:
        """Refuse a folder that no run has begun in.

        Raises:
            ExperimentError: it holds no resolved experiment.
        """
        if not self.experiment_path.is_file():
            raise ExperimentError(
                f"{self.path} holds no run. Name a folder that `earshot-attacker run` made, or "
                "begin one with `earshot-attacker run EXPERIMENT`."
            )

    def card(self) -> dict[str, Any]:
        """Return the run's record, or an empty one."""
        path = self.path / RUN_NAME
        data = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return dict(data)

    def model_card(self) -> ModelCard | None:
        """Return what the victim said of itself, or None where nothing was asked yet."""
        data = self.card().get("model_card")
        return None if data is None else ModelCard.model_validate(data)

    def record(
        self, experiment: Frozen, seed: int, model_card: ModelCard, url: str, argv: Sequence[str]
    ) -> None:
        """Write the resolved experiment and the record of this start; the first start is kept."""
        self.path.mkdir(parents=True, exist_ok=True)
        command = shlex.join(["earshot-attacker", *redact(argv)])
        before = self.card()
        card = {
            **made_with(_PACKAGES),
            "seeds": {"root": seed},
            "command": before.get("command", command),
            "started_at": before.get("started_at", time.strftime("%Y-%m-%dT%H:%M:%S%z")),
            "commands": [*before.get("commands", []), command],
            "url": url,
            "model_card": model_card.model_dump(mode="json"),
        }
        text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
        _replace(self.path / RUN_NAME, text)
        _replace(self.experiment_path, dump_yaml(experiment))


def redact(argv: Sequence[str]) -> list[str]:
    """Return a command line without its API keys."""
    shown: list[str] = []
    for word in argv:
        option, equals, _ = word.partition("=")
        if shown and shown[-1] in _SECRET_OPTIONS:
            shown.append("***")
        elif equals and option in _SECRET_OPTIONS:
            shown.append(f"{option}=***")
        else:
            shown.append(word)
    return shown


def made_with(packages: Sequence[str]) -> dict[str, Any]:
    """Return the source and the software that a run is made with, for its record."""
    return {
        "commit": commit(),
        "lock_sha256": lock_sha256(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
        "machine": platform.machine(),
    }


def commit() -> str | None:
    """Return the commit of the source, marked ``-dirty`` where it was changed; None if unknown.

    An image has no git: who builds it may write the commit into a file.
    """
    root = Path(attacker.__file__).parent.parent
    if (root / "COMMIT").is_file():
        return (root / "COMMIT").read_text(encoding="utf-8").strip() or None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def lock_sha256() -> str | None:
    """Return the sha256 of requirements.lock, or None where the source is not at hand."""
    path = Path(attacker.__file__).parent.parent / "requirements.lock"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
