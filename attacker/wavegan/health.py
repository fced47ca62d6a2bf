"""Is the training alive? Four figures, each with its threshold and advice.

A figure is judged only after a grace period, and a bad one stops the training only when it lasts
several checks in a row: young generators are quiet and monotonous. Losses that are not finite stop
it at once, because no later step can mend them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torchaudio

from attacker.wavegan.config import HealthLimits

Name = Literal["loudness", "clipping", "loss", "diversity"]

_FULL_SCALE = 0.999
_MELS = 32
_ADVICE: dict[Name, str] = {
    "loudness": "the generator is silent: set gan.normalise to `clip` or `window`, raise "
    "gan.min_window_rms, or lower gan.learning_rate",
    "clipping": "the generator clips: lower gan.learning_rate, or check the corpus for clipped "
    "recordings",
    "loss": "the losses diverge: lower gan.learning_rate, keep gan.penalty_weight at 10 and "
    "gan.critic_steps at 5, or use a larger corpus",
    "diversity": "the generator makes one sound (collapse): try another gan.seed, a larger "
    "gan.batch_size or gan.dim, or a corpus of more speakers",
}


class GanHealthError(RuntimeError):
    """The training is dead; the message says which figure shows it and what to change."""


@dataclass(frozen=True)
class Finding:
    """One figure of a check against its threshold."""

    name: Name
    value: float
    threshold: float
    healthy: bool

    @property
    def advice(self) -> str:
        """What to change when the figure is bad."""
        return _ADVICE[self.name]

    def __str__(self) -> str:
        side = "within" if self.healthy else "beyond"
        return f"{self.name} {self.value:.3g}, {side} the threshold {self.threshold:.3g}"


class Monitor:
    """Compares generated clips with the corpus and remembers how long a figure has been bad.

    Args:
        limits: thresholds and patience.
        real: (N, T) float32 windows of the corpus, as the critic sees them.
        sample_rate_hz: of both.
        streaks: checks in a row that each figure was bad, from an earlier run of this training.
    """

    def __init__(
        self,
        limits: HealthLimits,
        real: np.ndarray,
        sample_rate_hz: int,
        streaks: Mapping[str, int] | None = None,
    ) -> None:
        self._limits, self._rate = limits, sample_rate_hz
        self._real_rms = _median_rms(real)
        self._real_spread = spectral_spread(real, sample_rate_hz)
        self.streaks: dict[str, int] = dict(streaks or {})

    def check(self, step: int, fake: np.ndarray, loss: float) -> list[Finding]:
        """Return the four findings on ``fake`` (N, T) and the critic's ``loss``.

        Raises:
            GanHealthError: the loss is not finite, or a figure stayed bad beyond patience.
        """
        require_finite(step, loss)
        limits = self._limits
        loudness = _median_rms(fake) / max(self._real_rms, 1e-9)
        clipping = float((np.abs(fake) >= _FULL_SCALE).mean())
        spread = spectral_spread(fake, self._rate) / max(self._real_spread, 1e-9)
        findings = [
            Finding("loudness", loudness, limits.min_loudness, loudness >= limits.min_loudness),
            Finding("clipping", clipping, limits.max_clipping, clipping <= limits.max_clipping),
            Finding("loss", abs(loss), limits.max_loss, abs(loss) <= limits.max_loss),
            Finding("diversity", spread, limits.min_diversity, spread >= limits.min_diversity),
        ]
        self._judge(step, findings)
        return findings

    def _judge(self, step: int, findings: list[Finding]) -> None:
        if step < self._limits.grace_steps:
            return
        for finding in findings:
            streak = 0 if finding.healthy else self.streaks.get(finding.name, 0) + 1
            self.streaks[finding.name] = streak
            if streak >= self._limits.patience:
                raise GanHealthError(
                    f"step {step}: {finding}, for {streak} checks in a row. {finding.advice}; "
                    "then train again with --fresh."
                )


def require_finite(step: int, *losses: float) -> None:
    """Raise GanHealthError when a loss is NaN or infinite."""
    if not all(math.isfinite(loss) for loss in losses):
        raise GanHealthError(
            f"step {step}: a loss is not finite. {_ADVICE['loss']}; then train again with --fresh."
        )


def spectral_spread(waves: np.ndarray, sample_rate_hz: int) -> float:
    """Return the mean pairwise distance, in dB, of the clips' mean log-mel spectra.

    Each spectrum is taken relative to its own mean, so that loudness alone is no diversity.
    """
    spectra = log_mel(waves, sample_rate_hz).mean(axis=2)
    spectra = spectra - spectra.mean(axis=1, keepdims=True)
    distances = torch.pdist(torch.from_numpy(spectra)) / math.sqrt(spectra.shape[1])
    return float(distances.mean()) if len(distances) else 0.0


def log_mel(waves: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return log-mel power in dB, floored at -80: (B, T) -> (B, 32, frames) float32."""
    window = 256 if sample_rate_hz <= 8000 else 1024
    transform = torchaudio.transforms.MelSpectrogram(
        sample_rate_hz, n_fft=window, hop_length=window // 4, n_mels=_MELS
    )
    power = transform(torch.from_numpy(np.ascontiguousarray(waves, dtype=np.float32)))
    decibels: np.ndarray = (10 * power.clamp_min(1e-8).log10()).numpy()
    return decibels


def _median_rms(waves: np.ndarray) -> float:
    return float(np.median(np.sqrt(np.square(waves, dtype=np.float64).mean(axis=1))))
