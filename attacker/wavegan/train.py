"""Trains a WaveGAN: resumable, watched, and the same whenever it is interrupted.

Every random draw comes from a stream named by (seed, purpose, step), so a resumed training on one
CPU thread ends with the very weights of an uninterrupted one. ``folder`` receives:

    model.safetensors, card.json   the generator, written with every checkpoint
    state/                         both networks and optimisers, in two slots
    preview/                       spectrogram sheets and WAV files
    tensorboard/                   curves
"""

import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from attacker.wavegan.config import GanConfig
from attacker.wavegan.generator import save_generator
from attacker.wavegan.health import Finding, GanHealthError, Monitor, require_finite
from attacker.wavegan.loss import critic_loss
from attacker.wavegan.networks import Critic, Generator, initialise
from attacker.wavegan.preview import write_preview
from attacker.wavegan.state import load_state, pack, save_state, unpack
from attacker.wavegan.windows import Windows
from shared.config import ConfigError
from shared.corpora.store import ClipStore
from shared.seeding import numpy_stream, torch_stream

_PREVIEW_CLIPS = 12
_FREE = {"steps", "health", "checkpoint_every", "preview_every", "log_every"}  # move no weight


@dataclass(frozen=True)
class Step:
    """One generator step: its losses, and the findings when health was checked."""

    number: int
    critic_loss: float
    generator_loss: float
    distance: float
    penalty: float
    findings: tuple[Finding, ...] = ()


class Training:
    """Both networks, both optimisers, and the step they are at."""

    def __init__(self, config: GanConfig, windows: Windows, device: str = "cpu") -> None:
        self.config, self.windows, self.device = config, windows, torch.device(device)
        self.number = 0
        self.generator = Generator(config.dim, config.latent, config.clip_samples)
        self.critic = Critic(config.dim, config.clip_samples)
        self.parts = {"generator": self.generator, "critic": self.critic}
        for name, part in self.parts.items():
            initialise(part, torch_stream(config.seed, "weights", name))
            part.to(self.device)
        self.optimisers = {
            name: torch.optim.Adam(
                part.parameters(), config.learning_rate, config.betas, fused=True
            )
            for name, part in self.parts.items()
        }

    def advance(self) -> Step:
        """Make one generator step, with its critic steps before it."""
        seed, self.number = self.config.seed, self.number + 1
        real = numpy_stream(seed, "real", self.number)
        noise = torch_stream(seed, "noise", self.number)
        for _ in range(self.config.critic_steps):
            loss, distance, penalty = self._update_critic(real, noise)
        score = self._update_generator(noise)
        step = Step(self.number, loss, score, distance, penalty)
        require_finite(self.number, loss, score)
        return step

    def generate(self, purpose: str, count: int) -> np.ndarray:
        """Return (count, T) clips of the same latents at every step of the training."""
        noise = torch_stream(self.config.seed, purpose)
        with torch.no_grad():
            wave: np.ndarray = self.generator(self._latent(noise, count)).cpu().numpy()
        return wave

    def _update_critic(
        self, rng: np.random.Generator, noise: torch.Generator
    ) -> tuple[float, float, float]:
        count = self.config.batch_size
        real = torch.from_numpy(self.windows.draw(count, rng)).to(self.device)
        with torch.no_grad():
            fake = self.generator(self._latent(noise, count))
        mix = torch.rand(count, 1, generator=noise).to(self.device)
        shifts = [self._shifts(noise) for _ in range(3)]
        loss = critic_loss(self.critic, real, fake, mix, shifts, self.config.penalty_weight)
        self._descend("critic", loss.total)
        return loss.value.item(), loss.distance.item(), loss.penalty.item()

    def _update_generator(self, noise: torch.Generator) -> float:
        self.critic.requires_grad_(False)
        fake = self.generator(self._latent(noise, self.config.batch_size))
        loss = -self.critic(fake, self._shifts(noise)).mean()
        self._descend("generator", loss)
        self.critic.requires_grad_(True)
        return float(loss.item())

    def _descend(self, name: str, loss: Tensor) -> None:
        self.optimisers[name].zero_grad()
        torch.autograd.backward(loss)
        self.optimisers[name].step()

    def _latent(self, noise: torch.Generator, count: int) -> Tensor:
        uniform = torch.rand(count, self.config.latent, generator=noise)
        return (uniform * 2 - 1).to(self.device)

    def _shifts(self, noise: torch.Generator) -> list[int]:
        largest = self.config.phase_shuffle
        drawn = torch.randint(-largest, largest + 1, (self.critic.shuffles,), generator=noise)
        return [int(shift) for shift in drawn]


def train(
    config: GanConfig,
    store: ClipStore,
    folder: Path,
    *,
    on_step: Callable[[Step], None] | None = None,
    device: str = "cpu",
    fresh: bool = False,
    origin: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train up to ``config.steps`` generator steps, resuming what ``folder`` holds.

    Args:
        config: hyper-parameters; a resumed training must have the same ones, but for its length and
            for how often it is watched.
        store: the decoded proxy corpus.
        folder: receives everything, see above.
        on_step: called after each generator step.
        device: ``cpu`` or ``cuda``.
        fresh: forget what ``folder`` holds.
        origin: further entries of the generator's card, such as the command that made it.

    Returns:
        The card of the generator.

    Raises:
        GanHealthError: the training is dead; the message says what to change.
        ConfigError: ``folder`` holds a training of another configuration or corpus.
        CheckpointError: ``folder`` holds a damaged state.
    """
    if fresh:
        for name in ("state", "preview", "tensorboard"):
            shutil.rmtree(folder / name, ignore_errors=True)
    windows = Windows(store, config)
    run = _Run(Training(config, windows, device), store, folder, dict(origin or {}))
    run.resume()
    with closing(SummaryWriter(folder / "tensorboard", purge_step=run.training.number + 1)) as log:
        while run.training.number < config.steps:
            step = run.advance(log)
            if on_step is not None:
                on_step(step)
    return run.finish()


class _Run:
    """A training together with the folder that it lives in."""

    def __init__(
        self, training: Training, store: ClipStore, folder: Path, origin: dict[str, Any]
    ) -> None:
        self.training, self.store, self.folder, self.origin = training, store, folder, origin
        config = training.config
        self.rate = store.sample_rate_hz
        count = max(config.health.clips, _PREVIEW_CLIPS)
        self.real = training.windows.draw(count, numpy_stream(config.seed, "health"))
        self.monitor = Monitor(config.health, self.real, self.rate)
        self.health: dict[str, float] = {}

    def resume(self) -> None:
        state = load_state(self.folder / "state")
        if state is None:
            return
        tensors, card = state
        self._require_same(card)
        unpack(tensors, self.training.parts, self.training.optimisers)
        self.training.number = card["step"]
        self.monitor.streaks, self.health = dict(card["streaks"]), dict(card["health"])

    def advance(self, log: SummaryWriter) -> Step:
        config, step = self.training.config, self.training.advance()
        if step.number % config.log_every == 0:
            for name in ("critic_loss", "generator_loss", "distance", "penalty"):
                log.add_scalar(f"loss/{name}", getattr(step, name), step.number)
        if step.number % config.health.every == 0:
            step = self._check(step, log)
        if step.number % config.preview_every == 0:
            self._preview()
        if step.number % config.checkpoint_every == 0:
            self._save()
        return step

    def finish(self) -> dict[str, Any]:
        self._preview()
        return self._save()

    def _check(self, step: Step, log: SummaryWriter) -> Step:
        fake = self.training.generate("health", self.training.config.health.clips)
        try:
            findings = self.monitor.check(step.number, fake, step.critic_loss)
        except GanHealthError:
            self._preview()
            raise
        self.health = {finding.name: finding.value for finding in findings}
        for name, value in self.health.items():
            log.add_scalar(f"health/{name}", value, step.number)
        return Step(**{**vars(step), "findings": tuple(findings)})

    def _preview(self) -> None:
        fake = self.training.generate("preview", _PREVIEW_CLIPS)
        write_preview(self.folder / "preview", self.training.number, self.real, fake, self.rate)

    def _save(self) -> dict[str, Any]:
        training = self.training
        card = {
            "step": training.number,
            "streaks": self.monitor.streaks,
            "health": self.health,
            "config": training.config.model_dump(mode="json"),
            "corpus_manifest_sha256": self.store.manifest_sha256,
        }
        save_state(self.folder / "state", pack(training.parts, training.optimisers), card)
        return save_generator(
            self.folder,
            training.generator,
            {
                **self.origin,
                "sample_rate_hz": self.rate,
                "steps": training.number,
                "health": self.health,
                "config": card["config"],
                "corpus_manifest_sha256": self.store.manifest_sha256,
                "corpus_clips": len(self.store.clips),
            },
        )

    def _require_same(self, card: Mapping[str, Any]) -> None:
        mine = self.training.config.model_dump(mode="json")
        theirs = card["config"]
        changed = sorted(
            key
            for key in mine.keys() | theirs.keys()
            if key not in _FREE and mine.get(key) != theirs.get(key)
        )
        if card["corpus_manifest_sha256"] != self.store.manifest_sha256:
            changed.append("corpus")
        if changed:
            raise ConfigError(
                f"{self.folder} holds a training at step {card['step']} that differs in "
                f"{', '.join(changed)}. Use another folder, the old configuration, or --fresh."
            )
