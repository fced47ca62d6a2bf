"""Figures of the filters: the spectra of a whole layer, and those of matched pairs.

Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", figure 2.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attacker.lab.filters.match import Pair, Side
from attacker.lab.filters.spectra import lowest_band_hz
from attacker.lab.report.svg import INK, MUTED, WIDTH_IN, series
from attacker.lab.report.words import short

_COLUMNS = 4
FLOOR_DB = -36.0
"""Level at which pictures of these signals end: below it is the noise that was left over."""
_DPI = 220
_SMOOTH_BINS = 5
_TINY = 1e-20

Column = tuple[str, Side, Sequence[int]]
"""A model's name, its filters, and those of them that are drawn, one a row."""


def spectra_map(columns: Sequence[Column]) -> Figure:
    """Draw the spectra of many filters as rows of one picture, for each of ``columns``.

    Row n of every column belongs together. Levels are in dB below each filter's strongest tone.
    """
    rows = max(len(numbers) for _, _, numbers in columns)
    height = float(np.clip(0.09 * rows, 1.5, 4.6))
    figure = Figure(figsize=(WIDTH_IN * (1 if len(columns) > 1 else 0.62), height), dpi=_DPI)
    panels = figure.subplots(1, len(columns), squeeze=False, gridspec_kw={"wspace": 0.1})[0]
    image: Any = None
    for axes, (name, side, numbers) in zip(panels, columns, strict=True):
        levels = np.stack([_smooth_db(side, number) for number in numbers])
        top_khz = side.spectra.sample_rate_hz / 2000
        image = axes.imshow(
            levels,
            aspect="auto",
            interpolation="nearest",
            cmap="magma",
            vmin=FLOOR_DB,
            vmax=0,
            extent=(0, top_khz, len(numbers), 0),
        )
        axes.set_title(short(name, 40), color=INK)
        axes.set_xlabel("frequency, kHz")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(visible=False)
        axes.set_yticks([])
    panels[0].set_ylabel("filters, low to high")
    bar = figure.colorbar(image, ax=list(panels), pad=0.02, fraction=0.03, aspect=22)
    bar.set_label("dB", color=MUTED)
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(4)
    bar.update_ticks()
    return figure


def spectra_grid(
    a: Side, b: Side | None, shown: Sequence[tuple[int, Pair | None]], names: Sequence[str]
) -> Figure:
    """Draw the spectrum of each filter in ``shown``, with that of its partner over it."""
    rows = ceil(len(shown) / _COLUMNS)
    figure = Figure(figsize=(WIDTH_IN, 0.55 + 1.5 * rows))
    panels = figure.subplots(
        rows,
        _COLUMNS,
        squeeze=False,
        sharex=True,
        sharey=True,
        gridspec_kw={"wspace": 0.12, "hspace": 0.5},
    )
    for place, axes in enumerate(panels.flat):
        if place >= len(shown):
            axes.set_visible(False)
            continue
        number, pair = shown[place]
        _line(axes, a, number, series(0), short(names[0], 40), front=True)
        title = f"{number}"
        if b is not None and pair is not None:
            _line(axes, b, pair.b, series(1), short(names[1], 40), front=False)
            title = f"{number} → {pair.b}, d = {pair.distance:.3f}"
        axes.set_title(title, color=INK, fontsize=8.5, pad=4)
        axes.set_ylim(FLOOR_DB, 3)
        axes.set_xlim(0, a.spectra.sample_rate_hz / 2000)
        axes.xaxis.set_major_locator(MaxNLocator(4, prune="upper"))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_locator(MaxNLocator(4))
        # A panel above an empty place is the lowest of its column and carries the axis itself.
        lowest = place + _COLUMNS >= len(shown)
        axes.tick_params(labelbottom=lowest)
        if lowest:
            axes.set_xlabel("kHz")
        if place % _COLUMNS == 0:
            axes.set_ylabel("dB")
    if b is not None:
        panels[0][0].legend(
            frameon=False,
            loc="lower left",
            bbox_to_anchor=(-0.04, 1.14),
            borderaxespad=0,
            ncols=2,
            labelcolor=MUTED,
        )
    return figure


def _line(axes: Axes, side: Side, number: int, color: str, label: str, *, front: bool) -> None:
    """Draw one spectrum from half the lowest band's centre on."""
    spectra = side.spectra
    heard = spectra.bins_hz >= lowest_band_hz(spectra.sample_rate_hz) / 2
    axes.plot(
        spectra.bins_hz[heard] / 1000,
        _smooth_db(side, number)[heard],
        color=color,
        linewidth=1.3,
        label=label,
        zorder=3 if front else 2,
    )


def _smooth_db(side: Side, number: int) -> np.ndarray:
    """Return a spectrum (bins,) smoothed over 20 Hz, in dB below its top in the mel bank's range.

    The offset and what lies below the bank may be stronger, and are not what pictures are of.
    """
    spectra = side.spectra
    kernel = np.full(_SMOOTH_BINS, 1 / _SMOOTH_BINS)
    power = np.maximum(np.convolve(spectra.power[number], kernel, mode="same"), _TINY)
    heard = power[spectra.bins_hz >= lowest_band_hz(spectra.sample_rate_hz)]
    levels: np.ndarray = 10 * np.log10(power / heard.max())
    return levels
