"""Which filter of one model is most like a filter of another.

Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", appendix C.2:
for each filter of one model the filter of the other one at the least cosine distance of their
mel bands. Two filters may choose the same partner, as there.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from attacker.lab.filters.signals import LayerSignals
from attacker.lab.filters.spectra import Spectra
from shared.config import Frozen

LOW_SHARE = 0.5
"""Share of power below the lowest mel band's centre from which a filter is set aside.

The paper removes "specific activations containing very low frequency components" by a rule that is
lost. This one is ours: below that centre the bank hardly sees, so what it says of such a signal is
what little lies above, and half of the power is where that becomes the smaller part.
"""

SILENT_SHARE = 0.01
"""Share of the layer's median activation below which a filter counts as silent; ours, too.

A filter that was woken and no more has a signal that is mostly noise, which is near to much.
"""
_TINY = 1e-20


class SetAside(Frozen):
    """A filter that takes no part in the matching."""

    filter: int
    reason: Literal["low", "silent"]
    """``low``: most of its signal is below the mel bank; ``silent``: no signal was found that it
    answers more than faintly."""
    low_share: float


class Pair(Frozen):
    """A filter of A with the filter of B that is nearest to it."""

    a: int
    b: int
    distance: float
    """Cosine distance of their mel bands, from 0 to 1."""
    mutual: bool
    """Whether ``a`` is also nearest to ``b``."""


@dataclass(frozen=True)
class Side:
    """The filters of one model's layer, heard and seen."""

    signals: LayerSignals
    spectra: Spectra
    set_aside: tuple[SetAside, ...]

    @classmethod
    def of(cls, signals: LayerSignals, sample_rate_hz: int) -> "Side":
        """Return ``signals`` with their spectra and the filters to set aside."""
        spectra = Spectra.of(signals.waves, sample_rate_hz)
        return cls(signals, spectra, set_aside(spectra, signals.end))

    @property
    def kept(self) -> np.ndarray:
        """Numbers of the filters that take part, ascending."""
        out = {item.filter for item in self.set_aside}
        return np.array([n for n in range(len(self.signals.waves)) if n not in out], dtype=int)

    def order(self) -> np.ndarray:
        """Numbers of the filters that take part, from low to high tones."""
        kept = self.kept
        centroids: np.ndarray = self.spectra.centroid_hz[kept]
        return kept[np.argsort(centroids, kind="stable")]


@dataclass(frozen=True)
class Matching:
    """How two models' filters of one layer were matched."""

    pairs: tuple[Pair, ...]
    """One for each filter of A that takes part, nearest first."""
    typical: float | None
    """Median distance over all pairs of filters, matched or not: what chance gives."""

    @property
    def median(self) -> float | None:
        """Median distance of the matched pairs."""
        return float(np.median([pair.distance for pair in self.pairs])) if self.pairs else None


def set_aside(spectra: Spectra, activations: np.ndarray) -> tuple[SetAside, ...]:
    """Return the filters that take no part: those that answer to nothing, and very low ones."""
    awake = activations[activations > 0]
    faint = SILENT_SHARE * float(np.median(awake)) if len(awake) else 0.0
    found: list[SetAside] = []
    for number, (share, activation) in enumerate(
        zip(spectra.low_share.tolist(), activations.tolist(), strict=True)
    ):
        if activation <= faint:
            found.append(SetAside(filter=number, reason="silent", low_share=share))
        elif share > LOW_SHARE:
            found.append(SetAside(filter=number, reason="low", low_share=share))
    return tuple(found)


def cosine_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cosine distances (N, M) of the rows of ``a`` (N, D) and ``b`` (M, D)."""
    lengths = [np.linalg.norm(rows, axis=1, keepdims=True) for rows in (a, b)]
    units = [rows / np.maximum(length, _TINY) for rows, length in zip((a, b), lengths, strict=True)]
    distances: np.ndarray = np.clip(1 - units[0] @ units[1].T, 0, 2)
    return distances


def match(a: Side, b: Side) -> Matching:
    """Match every filter of ``a`` that takes part with its nearest in ``b``."""
    rows, columns = a.kept, b.kept
    if not (len(rows) and len(columns)):
        return Matching((), None)
    distances = cosine_distances(a.spectra.bands[rows], b.spectra.bands[columns])
    nearest, back = distances.argmin(axis=1), distances.argmin(axis=0)
    pairs = [
        Pair(
            a=int(rows[i]),
            b=int(columns[j]),
            distance=float(distances[i, j]),
            mutual=bool(back[j] == i),
        )
        for i, j in enumerate(nearest)
    ]
    pairs.sort(key=lambda pair: (pair.distance, pair.a))
    return Matching(tuple(pairs), float(np.median(distances)))
