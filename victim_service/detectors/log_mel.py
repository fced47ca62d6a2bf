"""A coarse picture of a clip that neither its level, a tiny shift nor faint noise changes much."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

FRAME_S, HOP_S, BANDS = 0.064, 0.016, 24
FLOOR_DB = 30.0
"""Below the loudest cell, everything is the floor: noise that lies lower leaves no trace."""


def log_mel(clip: npt.NDArray[np.float32], sample_rate_hz: int) -> npt.NDArray[np.float32]:
    """Return the picture (frames, bands) of ``clip`` (T,), from 0 (the floor) to 1 (the loudest).

    Silence is 0 all over. A clip that is shorter than a frame has one.
    """
    frame = max(16, round(FRAME_S * sample_rate_hz))
    hop = max(4, round(HOP_S * sample_rate_hz))
    padded = np.zeros(max(frame, len(clip)), np.float32)
    padded[: len(clip)] = clip
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop]
    spectra = np.abs(np.fft.rfft(frames * np.hanning(frame), axis=1)) ** 2
    cells = spectra @ _filters(frame, sample_rate_hz)
    loudest = float(cells.max())
    if loudest <= 1e-10:
        return np.zeros(cells.shape, np.float32)
    decibels = 10 * np.log10(np.maximum(cells / loudest, 10 ** (-FLOOR_DB / 10)))
    picture: npt.NDArray[np.float32] = (1 + decibels / FLOOR_DB).astype(np.float32)
    return picture


@lru_cache(maxsize=8)
def _filters(frame: int, sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """Return triangles (frame // 2 + 1, BANDS), evenly spaced in mel from 60 Hz up."""
    top = 2595 * np.log10(1 + min(sample_rate_hz / 2, 8000) / 700)
    bottom = 2595 * np.log10(1 + 60 / 700)
    edges = 700 * (10 ** (np.linspace(bottom, top, BANDS + 2) / 2595) - 1)
    # At least one bin wide, however narrow the lowest bands are.
    width = np.maximum(np.diff(edges), sample_rate_hz / frame)
    bins = np.arange(frame // 2 + 1)[:, None] * sample_rate_hz / frame
    middle = edges[1:-1]
    rising = 1 - (middle - bins) / width[:-1]
    falling = 1 - (bins - middle) / width[1:]
    return np.clip(np.minimum(rising, falling), 0, None)
