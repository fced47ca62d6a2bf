"""A whole study: maximise, match, write the files and the page; finished filters are kept."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attacker.lab.filters.match import Side, match
from attacker.lab.filters.maximise import MaximiseSettings, OnProgress, maximise
from attacker.lab.filters.model import FilterModel, demand_one_rate
from attacker.lab.filters.page import build_page
from attacker.lab.filters.probe import Probe
from attacker.lab.filters.results import (
    FilterResults,
    LayerResult,
    ModelFacts,
    SideResult,
    write_results,
)
from attacker.lab.filters.signals import LayerSignals, read_signals, signals_path, write_signals
from attacker.lab.filters.spectra import lowest_band_hz
from shared.seeding import numpy_stream

GROUP = 32
"""Filters after which the signals are written: what an interruption costs at most."""

Begin = Callable[[str, str, int], Callable[[float], None]]
"""Is told the model, the layer and its filters, and returns whom to tell how many are done."""


@dataclass(frozen=True)
class FilterStudy:
    """Which filters of which models are maximised, and how."""

    a: FilterModel
    b: FilterModel | None
    out: Path
    layers: tuple[str, ...]
    filters: int | None = None
    """The first so many filters of each layer; None for all."""
    settings: MaximiseSettings = field(default_factory=MaximiseSettings)
    seed: int = 0
    device: torch.device | str = "cpu"
    command: str = ""
    """The line that makes the study again."""

    def carry_out(self, begin: Begin) -> tuple[FilterResults, Path]:
        """Make what is missing, match, write; return the results and the path of the page.

        Raises:
            ExperimentError: the two models cannot be compared.
        """
        if self.b is not None:
            demand_one_rate(self.a, self.b)
        sides: dict[str, tuple[Side, ...]] = {}
        layers: list[LayerResult] = []
        for layer in self.layers:
            sides[layer] = tuple(
                self._hear(name, model, layer, begin)
                for name, model in (("a", self.a), ("b", self.b))
                if model is not None
            )
            layers.append(self._compare(layer, sides[layer]))
        results = FilterResults(
            command=self.command,
            seed=self.seed,
            settings=self.settings,
            lowest_band_hz=lowest_band_hz(self.a.sample_rate_hz),
            a=ModelFacts.of(self.a),
            b=None if self.b is None else ModelFacts.of(self.b),
            layers=tuple(layers),
        )
        write_results(results, sides, self.out)
        return results, build_page(results, sides, (self.a, self.b), self.out)

    def _hear(self, side: str, model: FilterModel, layer: str, begin: Begin) -> Side:
        probe = Probe(model.network, layer, self.device)
        count = min(self.filters or probe.filters, probe.filters)
        question = self._question(side, model, layer)
        path = signals_path(self.out, side, layer)
        signals = read_signals(path, question)
        if signals is None:
            signals = LayerSignals.none(self.settings.lengths(model.clip_samples)[-1])
        if len(signals) < count:
            tell = begin(model.name, layer, count)
        while len(signals) < count:
            numbers = range(len(signals), min(count, len(signals) + GROUP))
            noise = np.stack([self._noise(side, model, layer, number) for number in numbers])
            report = _part(tell, numbers)
            signals = signals.followed_by(maximise(probe, numbers, noise, self.settings, report))
            write_signals(path, signals, question)
        return Side.of(signals.first(count), model.sample_rate_hz)

    def _noise(self, side: str, model: FilterModel, layer: str, number: int) -> np.ndarray:
        """Return the start of one filter: other filters, layers and sides change nothing in it.

        The sides differ so that a model matched with itself says how well matching can do.
        """
        stream = numpy_stream(self.seed, "filters", side, layer, number)
        return stream.uniform(-1, 1, model.clip_samples).astype(np.float32)

    def _question(self, side: str, model: FilterModel, layer: str) -> dict[str, Any]:
        return {
            "checkpoint": model.checkpoint,
            "normalise": model.network.normalise,
            "clip_samples": model.clip_samples,
            "side": side,
            "layer": layer,
            "seed": self.seed,
            "settings": self.settings.model_dump(mode="json"),
        }

    def _compare(self, layer: str, sides: tuple[Side, ...]) -> LayerResult:
        models = [model for model in (self.a, self.b) if model is not None]
        facts = [
            SideResult.of_side(side, Probe(model.network, layer).filters)
            for side, model in zip(sides, models, strict=True)
        ]
        if len(sides) == 1:
            return LayerResult(layer=layer, a=facts[0])
        a, b = facts
        return LayerResult.of_pair(layer, a, b, match(*sides))


def _part(tell: Callable[[float], None], numbers: range) -> OnProgress:
    """Return whom to tell of the share of ``numbers`` that is done."""
    return lambda share: tell(numbers.start + share * len(numbers))
