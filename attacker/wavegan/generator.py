"""A trained generator: clip i is a pure function of (generator, seed, i)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attacker.wavegan.networks import Generator
from shared import checkpoint
from shared.checkpoint import CheckpointError
from shared.seeding import numpy_stream

KIND = "wavegan_generator"
_CHUNK = 32
_FULL_SCALE = 32767


@dataclass(frozen=True)
class LoadedGenerator:
    """A generator that is ready to make clips.

    Attributes:
        hash: sha256 of its tensors file, which names it in journals.
        sample_rate_hz: of the clips it makes.
        samples: length of a clip, T.
        card: everything that was recorded when it was trained.
    """

    hash: str
    sample_rate_hz: int
    samples: int
    card: dict[str, Any]
    network: Generator
    device: torch.device

    def latents(self, seed: int, indices: np.ndarray) -> np.ndarray:
        """Return the latents (B, latent) float32 in [-1, 1) of clips ``indices``."""
        rows = [
            numpy_stream(seed, "wavegan", self.hash, int(index)).random(
                self.network.latent, dtype=np.float32
            )
            for index in indices
        ]
        return np.asarray(rows, dtype=np.float32).reshape(-1, self.network.latent) * 2 - 1

    @torch.no_grad()
    def render(self, seed: int, indices: np.ndarray) -> np.ndarray:
        """Return clips (B, T) float32 in [-1, 1], each a function of (hash, seed, index) alone.

        The network always runs on chunks of one size, the last one padded, so that the company a
        clip is made in does not move its rounding. The samples are then put on the grid of 16-bit
        audio (times 32767, clipped, rounded, over 32768), as the published graph does: the bytes
        of a clip are the same whenever it is made again on the same kind of machine.
        """
        indices = np.asarray(indices)
        waves = np.empty((len(indices), self.samples), dtype=np.float32)
        for start in range(0, len(indices), _CHUNK):
            part = indices[start : start + _CHUNK]
            z = np.zeros((_CHUNK, self.network.latent), dtype=np.float32)
            z[: len(part)] = self.latents(seed, part)
            wave = self.network(torch.from_numpy(z).to(self.device))[: len(part)]
            grid = (wave * _FULL_SCALE).clamp(-_FULL_SCALE - 1, _FULL_SCALE).round()
            waves[start : start + _CHUNK] = (grid / (_FULL_SCALE + 1)).cpu().numpy()
        return waves


def save_generator(folder: Path, network: Generator, card: Mapping[str, Any]) -> dict[str, Any]:
    """Write a generator to ``folder`` and return its whole card."""
    checkpoint.save(
        folder,
        network.state_dict(),
        {"kind": KIND, "clip_samples": network.samples, "latent": network.latent, **card},
    )
    return checkpoint.load_card(folder)


def load_generator(folder: Path, device: str = "cpu") -> LoadedGenerator:
    """Load a generator made by ``earshot-attacker train-gan``.

    Raises:
        CheckpointError: a file is missing or altered, or it is no generator.
    """
    tensors, card = checkpoint.load(folder)
    if card.get("kind") != KIND:
        raise CheckpointError(
            f"{folder}: not a WaveGAN generator but {card.get('kind')!r}. Name a folder made by "
            "`earshot-attacker train-gan`."
        )
    network = Generator(card["config"]["dim"], card["latent"], card["clip_samples"])
    network.load_state_dict(tensors)
    network.requires_grad_(False).eval().to(device)
    network.hold()
    return LoadedGenerator(
        hash=checkpoint.file_sha256(folder / checkpoint.TENSORS_NAME),
        sample_rate_hz=card["sample_rate_hz"],
        samples=card["clip_samples"],
        card=card,
        network=network,
        device=torch.device(device),
    )
