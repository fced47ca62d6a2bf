"""What was found of the filters, as frozen models that are written as JSON and CSV."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from attacker.lab.filters.match import Matching, Pair, SetAside, Side
from attacker.lab.filters.maximise import MaximiseSettings
from attacker.lab.filters.model import FilterModel
from attacker.lab.filters.spectra import MEL_BANDS
from attacker.lab.results import write_csv
from shared.checkpoint import write_atomically
from shared.config import Frozen

JSON_NAME, CSV_NAME = "filters.json", "filters.csv"


class ModelFacts(Frozen):
    """The model whose filters were maximised."""

    name: str
    folder: str
    kind: str
    checkpoint: str
    labels: int
    sample_rate_hz: int
    clip_samples: int

    @classmethod
    def of(cls, model: FilterModel) -> "ModelFacts":
        """Return what is written of ``model``."""
        return cls(
            name=model.name,
            folder=str(model.folder),
            kind=model.kind,
            checkpoint=model.checkpoint,
            labels=len(model.labels),
            sample_rate_hz=model.sample_rate_hz,
            clip_samples=model.clip_samples,
        )


class SideResult(Frozen):
    """One model's filters of a layer."""

    filters: int
    """Filters that were maximised, the first ones of the layer."""
    of: int
    """Filters that the layer has."""
    set_aside: tuple[SetAside, ...]
    bandwidth_hz: float | None
    """Median width of the spectra of those that take part; None where none does."""

    @classmethod
    def of_side(cls, side: Side, in_layer: int) -> "SideResult":
        """Return what is written of ``side``, whose layer has ``in_layer`` filters."""
        kept = side.kept
        return cls(
            filters=len(side.signals.waves),
            of=in_layer,
            set_aside=side.set_aside,
            bandwidth_hz=float(np.median(side.spectra.bandwidth_hz[kept])) if len(kept) else None,
        )


class LayerResult(Frozen):
    """One layer of one model, or of two."""

    layer: str
    a: SideResult
    b: SideResult | None = None
    pairs: tuple[Pair, ...] = ()
    """For each filter of A that takes part its partner in B, nearest first."""
    median_distance: float | None = None
    """Of the pairs."""
    typical_distance: float | None = None
    """Median over all pairs of filters, matched or not."""
    same_number: int = 0
    """Pairs of one number on both sides: the filters that found themselves where A is B, and
    otherwise, if they are many, a sign that both networks began as the same weights."""

    @classmethod
    def of_pair(cls, layer: str, a: SideResult, b: SideResult, found: Matching) -> "LayerResult":
        """Return a matched layer."""
        return cls(
            layer=layer,
            a=a,
            b=b,
            pairs=found.pairs,
            median_distance=found.median,
            typical_distance=found.typical,
            same_number=sum(pair.a == pair.b for pair in found.pairs),
        )


class FilterResults(Frozen):
    """Everything that was found of one model's filters, or of two models'."""

    command: str
    seed: int
    settings: MaximiseSettings
    mel_bands: int = MEL_BANDS
    lowest_band_hz: float
    """A filter most of whose power is below this is set aside."""
    a: ModelFacts
    b: ModelFacts | None
    layers: tuple[LayerResult, ...]

    @property
    def is_of_itself(self) -> bool:
        """Whether A and B are one checkpoint, matched with itself."""
        return self.b is not None and self.a.checkpoint == self.b.checkpoint


def write_results(results: FilterResults, sides: dict[str, tuple[Side, ...]], out: Path) -> None:
    """Write ``filters.json``, and ``filters.csv`` with one row for each filter of each side.

    ``sides`` holds the side of A, or of A and B, by layer.
    """
    text = results.model_dump_json(indent=2) + "\n"
    write_atomically(out / JSON_NAME, text.encode())
    models = [model for model in (results.a, results.b) if model is not None]
    rows = [
        row
        for layer, pair in sides.items()
        for name, model, side in zip("ab", models, pair, strict=False)
        for row in _rows(name, model, layer, side)
    ]
    write_csv(out / CSV_NAME, rows)


def _rows(name: str, model: ModelFacts, layer: str, side: Side) -> Iterator[dict[str, Any]]:
    reasons = {item.filter: item.reason for item in side.set_aside}
    columns = {
        "activation_of_noise": side.signals.start,
        "activation": side.signals.end,
        "centroid_hz": side.spectra.centroid_hz,
        "bandwidth_hz": side.spectra.bandwidth_hz,
        "low_share": side.spectra.low_share,
    }
    for number in range(len(side.signals.waves)):
        yield {
            "side": name,
            "model": model.name,
            "layer": layer,
            "filter": number,
            **{column: float(values[number]) for column, values in columns.items()},
            "set_aside": reasons.get(number, ""),
        }
