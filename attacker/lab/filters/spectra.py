"""The spectrum of a signal, and the ten numbers by which filters are compared.

Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", appendix C.2.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torchaudio

from shared.audio import from_int16

MEL_BANDS = 10
_WINDOWS_PER_S = 4
"""A window of a quarter of a second resolves 4 Hz at any sample rate."""
_ROWS = 16
"""Signals whose windows are in memory at a time."""


@dataclass(frozen=True)
class Spectra:
    """Mean power spectra of the signals of one layer."""

    power: np.ndarray
    """(N, bins) float64: mean power of Hann windows that overlap by three quarters."""
    sample_rate_hz: int

    @classmethod
    def of(cls, waves: np.ndarray, sample_rate_hz: int) -> "Spectra":
        """Return the spectra of ``waves`` (N, T), int16."""
        window = min(window_samples(sample_rate_hz), waves.shape[1])
        parts = [
            torch.stft(
                torch.from_numpy(from_int16(waves[first : first + _ROWS])),
                window,
                max(1, window // 4),
                window=torch.hann_window(window),
                center=False,
                return_complex=True,
            )
            .abs()
            .double()
            .square()
            .mean(dim=2)
            for first in range(0, len(waves), _ROWS)
        ]
        return cls(torch.cat(parts).numpy(), sample_rate_hz)

    @property
    def bins_hz(self) -> np.ndarray:
        """(bins,) centre frequencies."""
        centres: np.ndarray = np.linspace(0, self.sample_rate_hz / 2, self.power.shape[1])
        return centres

    @cached_property
    def bands(self) -> np.ndarray:
        """(N, 10) power in each band of the mel filter bank: the space of the matching."""
        bank = torchaudio.functional.melscale_fbanks(
            self.power.shape[1],
            f_min=0.0,
            f_max=self.sample_rate_hz / 2,
            n_mels=MEL_BANDS,
            sample_rate=self.sample_rate_hz,
        )
        bands: np.ndarray = self.power @ bank.double().numpy()
        return bands

    @property
    def low_share(self) -> np.ndarray:
        """(N,) share of the power that lies below :func:`lowest_band_hz`, an offset included."""
        low = self.power[:, self.bins_hz < lowest_band_hz(self.sample_rate_hz)].sum(axis=1)
        total = self.power.sum(axis=1)
        share: np.ndarray = np.divide(low, total, out=np.ones_like(low), where=total > 0)
        return share

    @property
    def centroid_hz(self) -> np.ndarray:
        """(N,) mean frequency, weighted by power."""
        centroid: np.ndarray = self._shares @ self.bins_hz
        return centroid

    @property
    def bandwidth_hz(self) -> np.ndarray:
        """(N,) width that the power fills: exp(entropy over bins) x the width of a bin.

        A steady tone has a few Hz, white noise half the sample rate.
        """
        shares = self._shares
        logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
        width: np.ndarray = np.exp(-(shares * logs).sum(axis=1)) * self.bins_hz[1]
        return width

    @property
    def _shares(self) -> np.ndarray:
        total = self.power.sum(axis=1, keepdims=True)
        shares: np.ndarray = np.divide(
            self.power, total, out=np.zeros_like(self.power), where=total > 0
        )
        return shares


def window_samples(sample_rate_hz: int) -> int:
    """Return the power of two nearest to a quarter of a second."""
    return int(2 ** round(np.log2(sample_rate_hz / _WINDOWS_PER_S)))


def lowest_band_hz(sample_rate_hz: int) -> float:
    """Return the centre of the mel bank's lowest band: 91 Hz at 4 kHz, 180 Hz at 16 kHz."""
    top = _mel(sample_rate_hz / 2)
    return float(700 * (10 ** (top / (MEL_BANDS + 1) / 2595) - 1))


def _mel(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))
