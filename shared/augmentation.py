"""Random changes of training clips, made after they were labelled."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from shared.recipe import Recipe

Stream = Callable[[str], np.random.Generator]
"""Gives the random stream of a purpose; each change draws from its own, so that none moves the
draws of another."""


class Changes(NamedTuple):
    """What happens to each clip of a batch, (B,) each; None: nothing of that kind."""

    speeds: torch.Tensor | None = None
    offsets: torch.Tensor | None = None
    """In samples."""
    gains: torch.Tensor | None = None

    @classmethod
    def draw(cls, recipe: Recipe, count: int, stream: Stream) -> "Changes":
        """Return what ``recipe`` does to ``count`` clips.

        The streams asked for are ``speed``, ``crops`` and ``gain``.
        """
        speeds = offsets = gains = None
        if recipe.max_speed > 1:
            speeds = _factors(stream("speed"), recipe.max_speed, count)
        if reach := recipe.max_shift_samples:
            drawn = stream("crops").integers(-reach, reach + 1, size=count)
            offsets = torch.from_numpy(drawn)
        if recipe.max_gain > 1:
            gains = _factors(stream("gain"), recipe.max_gain, count)
        return cls(speeds, offsets, gains)

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Changes":
        """Return the same changes, their tensors pinned or moved by ``change``."""
        return Changes(*(None if part is None else change(part) for part in self))

    def apply(self, clips: torch.Tensor) -> torch.Tensor:
        """Return ``clips`` (B, T), on the device of these tensors, played faster or slower, then
        shifted, then louder or quieter."""
        if self.speeds is not None:
            clips = change_speed(clips, self.speeds)
        if self.offsets is not None:
            clips = shift_clips(clips, self.offsets)
        if self.gains is not None:
            clips = amplify_clips(clips, self.gains)
        return clips


def shift_clips(clips: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Delay each of ``clips`` (B, T) by its offset (B,) in samples; the gap is silence."""
    samples = clips.shape[1]
    rows = torch.arange(len(clips), device=clips.device)
    starts = samples - offsets.clamp(-samples, samples)
    # The windows of the padded clips are a view: what is copied is one whole window of each.
    return F.pad(clips, (samples, samples)).unfold(1, samples, 1)[rows, starts]


def amplify_clips(clips: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
    """Multiply each of ``clips`` (B, T) by its gain (B,), clipped to [-1, 1]."""
    return (clips * gains[:, None]).clamp(-1, 1)


def change_speed(clips: torch.Tensor, speeds: torch.Tensor) -> torch.Tensor:
    """Play each of ``clips`` (B, T) at its speed (B,), its middle in place; the gap is silence.

    Between samples it is Catmull-Rom's cubic, which dulls the highest octave a little; a speed
    above 1 folds what it lifts beyond half the sample rate.
    """
    samples = clips.shape[1]
    steps = torch.arange(samples, device=clips.device)
    # How far each sample's place lies from its own: small numbers, which float32 holds exactly
    # enough in clips of any length.
    moved = (steps - (samples - 1) / 2)[None, :] * (speeds - 1)[:, None]
    whole = moved.floor()
    t = moved - whole
    first = steps[None, :] + whole.long()
    weights = (
        t * (t * (2 - t) - 1) / 2,
        (t * t * (3 * t - 5) + 2) / 2,
        t * (t * (4 - 3 * t) + 1) / 2,
        t * t * (t - 1) / 2,
    )
    # One zero before the clip and one behind it: whatever lies outside points there.
    padded = F.pad(clips, (1, 1))
    changed = torch.zeros_like(clips)
    for offset, weight in enumerate(weights):
        columns = (first + offset).clamp(0, samples + 1)
        changed += weight * padded.gather(1, columns)
    return changed


def _factors(rng: np.random.Generator, largest: float, count: int) -> torch.Tensor:
    """Return ``count`` factors, log-uniform in [1/largest, largest]."""
    reach = np.log(largest)
    return torch.from_numpy(np.exp(rng.uniform(-reach, reach, count))).float()
