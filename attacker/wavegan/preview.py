"""What one can hear and see of a training: WAV files and a sheet of spectrograms."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from attacker.wavegan.health import log_mel
from shared.audio import to_wav
from shared.checkpoint import write_atomically

_COLUMNS = 6
_ROWS = 2
_WAVS = 4


def write_preview(
    folder: Path, step: int, real: np.ndarray, fake: np.ndarray, sample_rate_hz: int
) -> Path:
    """Write ``step-N.png`` and a few ``step-N-fake-i.wav``; return the path of the sheet.

    Args:
        folder: where the files go.
        step: the generator step they show.
        real: (N, T) windows of the corpus, N at least 12.
        fake: (N, T) generated clips.
        sample_rate_hz: of both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, waves in (("real", real), ("fake", fake)):
        for index, wave in enumerate(waves[:_WAVS]):
            path = folder / f"step-{step:06d}-{name}-{index}.wav"
            write_atomically(path, to_wav(wave, sample_rate_hz))
    sheet = folder / f"step-{step:06d}.png"
    _draw_sheet(real, fake, step, sample_rate_hz).savefig(sheet, dpi=90)
    return sheet


def _draw_sheet(real: np.ndarray, fake: np.ndarray, step: int, sample_rate_hz: int) -> Figure:
    figure = Figure(figsize=(2.1 * _COLUMNS, 1.7 * 2 * _ROWS + 0.6), layout="constrained")
    axes = figure.subplots(2 * _ROWS, _COLUMNS, sharex=True, sharey=True)
    seconds = real.shape[1] / sample_rate_hz
    for row in range(2 * _ROWS):
        name, waves = ("real", real) if row < _ROWS else ("generated", fake)
        start = (row % _ROWS) * _COLUMNS
        pictures = log_mel(waves[start : start + _COLUMNS], sample_rate_hz)
        for column, picture in enumerate(pictures):
            axes[row, column].imshow(
                picture,
                origin="lower",
                aspect="auto",
                cmap="magma",
                vmin=-50,
                vmax=25,
                extent=(0, seconds, 0, len(picture)),
            )
        axes[row, 0].set_ylabel(f"{name}\nmel band")
    for axis in axes[-1]:
        axis.set_xlabel("seconds")
    figure.suptitle(f"WaveGAN at generator step {step:,}: log-mel spectrograms")
    return figure
