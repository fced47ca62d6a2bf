import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attacker.errors import ExperimentError
from attacker.lab.filters import study as module
from attacker.lab.filters.maximise import MaximiseSettings, maximise
from attacker.lab.filters.model import load_model
from attacker.lab.filters.results import FilterResults
from attacker.lab.filters.signals import signals_path
from attacker.lab.filters.study import FilterStudy
from tests.support.filters import BANDS_HZ, band_network, random_network, reordered, write_model

QUICK = MaximiseSettings(steps=6, octaves=2)
Make = Callable[..., FilterStudy]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("models")
    write_model(root / "one", random_network(filters=4))
    write_model(root / "two", random_network(filters=3, seed=1), kind="surrogate")
    return root / "one", root / "two"


@pytest.fixture
def make(tmp_path: Path, folders: tuple[Path, Path]) -> Make:
    """Return a maker of quick studies of the two models into one folder."""

    def study(**changes: Any) -> FilterStudy:
        facts: dict[str, Any] = {
            "a": load_model(folders[0]),
            "b": load_model(folders[1]),
            "out": tmp_path / "out",
            "layers": ("conv1", "conv2"),
            "settings": QUICK,
        }
        return FilterStudy(**{**facts, **changes})

    return study


class Begun:
    """Writes down what is maximised, and how far."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, str, int]] = []
        self.done: list[float] = []

    def __call__(self, model: str, layer: str, count: int) -> Callable[[float], None]:
        self.parts.append((model, layer, count))
        return self.done.append


def waves(study: FilterStudy, side: str = "a", layer: str = "conv1") -> bytes:
    return signals_path(study.out, side, layer).read_bytes()


def test_two_models_are_maximised_layer_by_layer_and_written(make: Make) -> None:
    study, begun = make(), Begun()
    results, page = study.carry_out(begun)
    assert begun.parts == [
        ("one", "conv1", 4),
        ("two", "conv1", 3),
        ("one", "conv2", 8),
        ("two", "conv2", 6),
    ]
    assert begun.done[-1] == 6
    assert page.exists()
    written = json.loads((study.out / "filters.json").read_text())
    assert FilterResults.model_validate(written) == results
    assert [layer.layer for layer in results.layers] == ["conv1", "conv2"]
    for layer in results.layers:
        assert layer.b is not None
        assert len(layer.pairs) == layer.a.filters - len(layer.a.set_aside)
        aside = {item.filter for item in layer.b.set_aside}
        assert not aside & {pair.b for pair in layer.pairs}
    rows = list(csv.DictReader((study.out / "filters.csv").open()))
    assert len(rows) == 4 + 3 + 8 + 6
    assert [row["filter"] for row in rows[:4]] == ["0", "1", "2", "3"]


def test_finished_layers_are_not_made_again(make: Make) -> None:
    first = make()
    results, _ = first.carry_out(Begun())
    begun = Begun()
    again, _ = make(layers=("conv1", "conv2", "head")).carry_out(begun)
    assert begun.parts == [("one", "head", 4), ("two", "head", 4)]
    assert again.layers[:2] == results.layers


def test_a_kill_costs_one_group_of_filters(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(out=make().out.parent / "whole", b=None, layers=("conv2",))
    results, _ = whole.carry_out(Begun())
    monkeypatch.setattr(module, "GROUP", 3)
    study = make(b=None, layers=("conv2",))

    def stop(done: float) -> None:
        if done > 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.carry_out(lambda *_: stop)
    begun = Begun()
    resumed, _ = study.carry_out(begun)
    assert begun.done[0] > 3
    assert resumed.layers[0].a.filters == results.layers[0].a.filters == 8


def test_fewer_filters_are_the_first_of_those_that_are_there(make: Make) -> None:
    study = make(b=None, layers=("conv1",))
    study.carry_out(Begun())
    kept, begun = waves(study), Begun()
    results, _ = make(b=None, layers=("conv1",), filters=2).carry_out(begun)
    assert begun.parts == []
    assert (results.layers[0].a.filters, results.layers[0].a.of) == (2, 4)
    assert waves(study) == kept


def test_one_seed_gives_one_result_and_another_seed_another(make: Make, tmp_path: Path) -> None:
    studies = [
        make(layers=("conv1",), out=tmp_path / name, seed=seed)
        for name, seed in (("x", 3), ("y", 3), ("z", 4))
    ]
    results = [study.carry_out(Begun())[0] for study in studies]
    assert waves(studies[0]) == waves(studies[1])
    assert results[0] == results[1]
    assert waves(studies[0]) != waves(studies[2])


def test_another_question_is_asked_anew(make: Make) -> None:
    make(layers=("conv1",)).carry_out(Begun())
    begun = Begun()
    make(layers=("conv1",), settings=MaximiseSettings(steps=7, octaves=2)).carry_out(begun)
    assert len(begun.parts) == 2


def test_both_sides_of_one_model_begin_as_different_noise(make: Make) -> None:
    study = make()
    study = make(b=study.a, layers=("conv1",))
    results, _ = study.carry_out(Begun())
    assert results.is_of_itself
    first, second = (np.frombuffer(waves(study, side)[-2000:], dtype=np.int16) for side in "ab")
    assert not np.array_equal(first, second)


def test_a_filter_begins_as_uniform_noise_over_the_whole_range(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Appendix C.1: "We initialize the signals with uniform random arrays"."""
    starts: list[np.ndarray] = []

    def watched(probe: Any, numbers: Any, noise: np.ndarray, *more: Any) -> Any:
        starts.append(noise)
        return maximise(probe, numbers, noise, *more)

    monkeypatch.setattr(module, "maximise", watched)
    make(settings=MaximiseSettings(steps=1, octaves=1)).carry_out(Begun())
    samples = np.concatenate([noise.ravel() for noise in starts])
    assert samples.dtype == np.float32
    assert len(samples) == (4 + 3 + 8 + 6) * 512
    assert -1 <= samples.min() < -0.99
    assert 0.99 < samples.max() <= 1
    tenths, _ = np.histogram(samples, bins=10, range=(-1, 1))
    assert np.abs(tenths / len(samples) - 0.1).max() < 0.015  # five standard deviations
    rows = np.concatenate(starts)
    assert len(np.unique(rows, axis=0)) == len(rows)  # each filter has noise of its own


def test_the_numbers_of_partners_are_compared(tmp_path: Path) -> None:
    network, order = band_network(), [3, 0, 4, 1, 2]
    a = write_model(tmp_path / "a", network)
    b = write_model(tmp_path / "b", reordered(network, order))
    settings = MaximiseSettings(steps=20, octaves=1, step_size=0.2)
    study = FilterStudy(a, b, tmp_path / "out", ("conv1",), settings=settings)
    results, _ = study.carry_out(Begun())
    pairs = {pair.a: pair.b for pair in results.layers[0].pairs}
    assert pairs == {filter_: order.index(filter_) for filter_ in range(len(BANDS_HZ))}
    assert results.layers[0].same_number == 0


def test_two_sample_rates_are_refused_before_anything_is_made(make: Make, tmp_path: Path) -> None:
    fast = write_model(tmp_path / "fast", random_network(), rate_hz=8000)
    begun, study = Begun(), make(b=fast)
    with pytest.raises(ExperimentError, match="sample rate"):
        study.carry_out(begun)
    assert begun.parts == []
    assert not study.out.exists()
