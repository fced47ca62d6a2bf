"""Activation maximisation: the signal that a filter answers most strongly.

Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", appendix C.1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field

from attacker.lab.filters.probe import Probe
from shared.config import Frozen

CHUNK_SAMPLES = {"cpu": 2**18, "cuda": 2**21}
"""Samples that are followed at a time: 0.8 kB each for a ``desk`` network, 3.2 for a ``paper``."""
_TINY = 1e-20

OnProgress = Callable[[float], None]
"""Is told which share of the work is done."""


class MaximiseSettings(Frozen):
    """Appendix C.1, number by number."""

    steps: int = Field(default=100, ge=1)
    """Steps of an octave."""
    octaves: int = Field(default=5, ge=1, le=8)
    ratio: float = Field(default=1.8, gt=1, le=4)
    """Length of an octave's signal by that of the octave before."""
    step_size: float = Field(default=1.0, gt=0, le=1)
    """Adam's step size, "equal to the unit" in the paper: a sample may cross the whole range."""

    def lengths(self, clip_samples: int) -> tuple[int, ...]:
        """Return the samples of each octave's signal; the first is the network's input size."""
        return tuple(round(clip_samples * self.ratio**octave) for octave in range(self.octaves))


@dataclass(frozen=True)
class Maximised:
    """The signals of some filters of one layer."""

    signals: torch.Tensor
    """(N, T) float32 in [-1, 1], on the CPU."""
    start: torch.Tensor
    """(N,) mean activation that the noise gave at first."""
    end: torch.Tensor
    """(N,) mean activation of the signals."""


def maximise(
    probe: Probe,
    filters: Sequence[int],
    noise: np.ndarray,
    settings: MaximiseSettings,
    on_progress: OnProgress = lambda share: None,
) -> Maximised:
    """Return what each of ``filters`` (N,) makes of its row of ``noise`` (N, T).

    In each octave a signal takes ``steps`` steps of a fresh Adam along its normalised gradient and
    is clamped to [-1, 1] after each one. Between octaves it is stretched by linear interpolation,
    which lowers every frequency in it by the ratio: hence the name.
    """
    wanted = torch.tensor(list(filters), dtype=torch.int64)
    signals = torch.from_numpy(np.ascontiguousarray(noise, dtype=np.float32))
    start = _activations(probe, signals, wanted)
    lengths = settings.lengths(signals.shape[1])
    total, done = len(wanted) * sum(lengths) * settings.steps, 0

    def report(samples: int) -> None:
        nonlocal done
        done += samples
        on_progress(done / total)

    for length in lengths:
        signals = stretch(signals, length)
        signals = torch.cat(
            [_climb(probe, *part, settings, report) for part in _chunks(probe, signals, wanted)]
        )
    return Maximised(signals, start, _activations(probe, signals, wanted))


def stretch(signals: torch.Tensor, length: int) -> torch.Tensor:
    """Return ``signals`` (N, T) with ``length`` samples each, by linear interpolation."""
    if signals.shape[1] == length:
        return signals
    return F.interpolate(signals[:, None], size=length, mode="linear", align_corners=False)[:, 0]


def _chunks(
    probe: Probe, signals: torch.Tensor, filters: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return ``signals`` and ``filters`` in parts that fit the memory, on the probe's device."""
    rows = max(1, CHUNK_SAMPLES[probe.device.type] // signals.shape[1])
    parts = [slice(first, first + rows) for first in range(0, len(signals), rows)]
    return [(signals[part].to(probe.device), filters[part].to(probe.device)) for part in parts]


def _climb(
    probe: Probe,
    signals: torch.Tensor,
    filters: torch.Tensor,
    settings: MaximiseSettings,
    report: Callable[[int], None],
) -> torch.Tensor:
    """Take one octave's steps."""
    leaf = signals.clone().requires_grad_()
    adam = torch.optim.Adam([leaf], lr=settings.step_size)
    for _ in range(settings.steps):
        answer = probe.answer(leaf, filters)
        activation = probe.activate(answer)
        # Where a filter is silent throughout, its activation has no gradient; the mean before the
        # ReLU is followed until it wakes. The paper does not say what it did: this is ours.
        objective = torch.where(activation == 0, answer.mean(dim=1), activation)
        (gradient,) = torch.autograd.grad(objective.sum(), leaf)
        leaf.grad = -gradient / gradient.norm(dim=1, keepdim=True).clamp_min(_TINY)
        adam.step()
        with torch.no_grad():
            leaf.clamp_(-1, 1)
        report(leaf.numel())
    return leaf.detach().cpu()


@torch.no_grad()
def _activations(probe: Probe, signals: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    parts = [probe.activation(*part) for part in _chunks(probe, signals, filters)]
    return torch.cat(parts).cpu()
