"""Small victims for tests: a checkpoint with random weights, and a real server process on it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch

from shared import checkpoint
from shared.audio import to_int16
from shared.networks import KnaggCNNSpec
from tests.support.forked import start_victim_command
from tests.support.keys import add_key
from victim_service.bundle import write_bundle

ROOT = Path(__file__).parents[2]
TEST_CLIPS_PER_SPEAKER = 4


def make_victim(
    folder: Path,
    n_speakers: int = 5,
    clip_samples: int = 1024,
    sample_rate_hz: int = 4000,
    seed: int = 0,
) -> Path:
    """Write a tiny victim with random weights, its bundle and class counts into ``folder``."""
    torch.manual_seed(seed)
    spec = KnaggCNNSpec(filters=8, embedding=16)
    network = spec.build(n_speakers).eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.05)
                layer.running_var.uniform_(0.5, 2)
        # Random weights give all clips nearly the same answer: standardise the logits.
        logits = network(torch.from_numpy(make_clips(128, clip_samples, seed=99)))
        scale = 2 / logits.std(dim=0)
        network.head.bias.copy_((network.head.bias - logits.mean(dim=0)) * scale)
        network.head.weight.mul_(scale[:, None])
    names = [f"speaker-{number:02d}" for number in range(n_speakers)]
    card = {
        "kind": "victim",
        "network": spec.model_dump(),
        "labels": names,
        "sample_rate_hz": sample_rate_hz,
        "clip_samples": clip_samples,
        "seed": seed,
        "recipe": {},
        "corpus": {},
        "metrics": {},
    }
    checkpoint_id = checkpoint.save(folder, network.state_dict(), card)
    clips = make_clips(n_speakers * TEST_CLIPS_PER_SPEAKER, clip_samples, seed=seed + 1)
    labels = np.repeat(np.arange(n_speakers), TEST_CLIPS_PER_SPEAKER).astype(np.int64)
    write_bundle(
        folder,
        clips=to_int16(clips),
        labels=labels,
        names=names,
        class_counts=[12 + number for number in range(n_speakers)],
        sample_rate_hz=sample_rate_hz,
        checkpoint_id=checkpoint_id,
        manifest=[
            {"clip_id": f"{names[label]}/{place}.wav", "speaker": names[label]}
            for place, label in enumerate(labels)
        ],
    )
    return folder


def make_clips(count: int, clip_samples: int = 1024, seed: int = 0) -> np.ndarray:
    """Return distinct clips (count, clip_samples), float32 in [-1, 1]: tones in noise."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(clip_samples) / 4000
    pitch = rng.uniform(80, 1200, size=(count, 1))
    level = rng.uniform(0.2, 0.9, size=(count, 1))
    noise = rng.normal(0, 0.02, size=(count, clip_samples))
    return np.clip(level * np.sin(2 * np.pi * pitch * time_s) + noise, -1, 1).astype(np.float32)


@dataclass
class RunningVictim:
    """A server process and what is needed to speak with it."""

    url: str
    keys: dict[str, str]
    """API keys by name: the account of each query key, and ``audit``."""
    ledger_url: str
    ledger_path: Path
    """File of a SQLite ledger; there is none when another was named."""
    checkpoint: Path
    process: BaseProcess
    log: Path

    @property
    def key(self) -> str:
        """The first query key."""
        return next(iter(self.keys.values()))


def issue_key(ledger_url: str, account: str, *options: str) -> str:
    """Issue a key through the command line and return it."""
    command = ["keys", "issue", "--account", account, "--ledger", ledger_url, *options]
    done = subprocess.run(
        [sys.executable, "-m", "victim_service", *command],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@contextmanager
def running_victim(
    checkpoint_folder: Path,
    folder: Path,
    *,
    accounts: tuple[str, ...] = ("alice",),
    plan: str = "soft",
    budget: int | None = None,
    port: int = 0,
    new_keys: bool = True,
    ledger_url: str | None = None,
    options: tuple[str, ...] = (),
    errors_to: str = "",
    **variables: str | int | float,
) -> Iterator[RunningVictim]:
    """Serve ``checkpoint_folder`` until the block ends, with its ledger in ``folder`` unless named.

    ``variables`` are settings (``lease_s=1``), ``options`` more words of the command line, such as
    ``("--plans", path)``, ``errors_to`` a device for standard error, in place of the log. With
    ``new_keys=False`` no key is issued: the ledger is used again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ledger_path = folder / "ledger.sqlite"
    ledger_url = ledger_url or f"sqlite:///{ledger_path}"
    keys: dict[str, str] = {}
    if new_keys:
        for account in accounts:
            keys[account] = add_key(ledger_url, account, plan=plan, budget=budget)
        keys["audit"] = add_key(ledger_url, "laboratory", scope="audit")
    process, url, log = start_victim(
        checkpoint_folder,
        folder,
        ledger_url,
        port=port,
        options=options,
        errors_to=errors_to,
        **variables,
    )
    try:
        yield RunningVictim(url, keys, ledger_url, ledger_path, checkpoint_folder, process, log)
    finally:
        stop_victim(process)


def start_victim(
    checkpoint_folder: Path,
    folder: Path,
    ledger_url: str,
    *,
    port: int = 0,
    options: tuple[str, ...] = (),
    errors_to: str = "",
    **variables: str | int | float,
) -> tuple[BaseProcess, str, Path]:
    """Start a server process and wait until it is ready; return (process, its URL, its log)."""
    port_file = folder / "port"
    port_file.unlink(missing_ok=True)
    log = folder / "server.log"
    words = ["serve", str(checkpoint_folder), "--ledger", ledger_url, "--port", str(port)]
    settings = {f"VICTIM_{name.upper()}": str(value) for name, value in variables.items()}
    command = [*words, "--port-file", str(port_file), *options]
    process = start_victim_command(command, log, settings, errors_to)
    deadline = time.monotonic() + 60
    while not port_file.exists():
        if not process.is_alive() or time.monotonic() > deadline:
            code = process.exitcode
            stop_victim(process)
            raise RuntimeError(f"the victim did not start ({code}):\n{log.read_text()[-4000:]}")
        time.sleep(0.02)
    return process, f"http://127.0.0.1:{port_file.read_text().strip()}", log


def stop_victim(process: BaseProcess) -> None:
    """End a server process that was started here, gently if it listens."""
    process.terminate()
    process.join(timeout=20)
    if process.is_alive():
        process.kill()
        process.join()


def environment() -> dict[str, str]:
    """Return this process's environment without VICTIM_ settings, and with one torch thread."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VICTIM_")}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
