"""Maximisation and matching as published, on networks whose filters are known beforehand."""

from pathlib import Path

import numpy as np
import pytest

from attacker.lab.filters.maximise import MaximiseSettings
from attacker.lab.filters.results import FilterResults
from attacker.lab.filters.signals import read_signals, signals_path
from attacker.lab.filters.spectra import Spectra
from attacker.lab.filters.study import FilterStudy
from tests.support.filters import BANDS_HZ, RATE_HZ, band_network, reordered, write_model

ORDER = [3, 0, 4, 1, 2]
KERNEL_HZ = RATE_HZ / 32
"""What 32 taps can tell apart."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> FilterStudy:
    root = tmp_path_factory.mktemp("filters")
    network = band_network([*BANDS_HZ, 100.0])
    a = write_model(root / "a", network)
    b = write_model(root / "b", reordered(network, [*ORDER, 5]))
    return FilterStudy(a, b, root / "out", ("conv1",), settings=MaximiseSettings())


@pytest.fixture(scope="module")
def results(study: FilterStudy) -> FilterResults:
    return study.carry_out(lambda *_: lambda done: None)[0]


def test_signals_peak_where_the_filters_listen(study: FilterStudy, results: FilterResults) -> None:
    del results
    path: Path = signals_path(study.out, "a", "conv1")
    signals = read_signals(path, study._question("a", study.a, "conv1"))
    assert signals is not None
    spectra = Spectra.of(signals.waves, RATE_HZ)
    peaks_hz = spectra.bins_hz[spectra.power[: len(BANDS_HZ)].argmax(axis=1)]
    assert np.abs(peaks_hz - BANDS_HZ).max() < KERNEL_HZ / 2
    assert (spectra.bandwidth_hz[: len(BANDS_HZ)] < RATE_HZ / 8).all()


def test_a_filter_that_hears_an_offset_is_set_aside(results: FilterResults) -> None:
    layer = results.layers[0]
    assert layer.b is not None
    for side in (layer.a, layer.b):
        assert [(item.filter, item.reason) for item in side.set_aside] == [(5, "low")]


def test_matching_finds_the_permutation(results: FilterResults) -> None:
    layer = results.layers[0]
    assert {pair.a: pair.b for pair in layer.pairs} == {n: ORDER.index(n) for n in range(5)}
    assert all(pair.mutual for pair in layer.pairs)
    assert layer.typical_distance is not None
    assert layer.median_distance is not None
    assert layer.median_distance < layer.typical_distance / 20
