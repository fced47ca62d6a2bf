import numpy as np
import pytest

from attacker.lab.filters.match import Side, cosine_distances, match
from attacker.lab.filters.signals import LayerSignals
from shared.audio import to_int16

RATE_HZ = 4000
TIME = np.arange(2 * RATE_HZ) / RATE_HZ


def side(*tones_hz: float, silent: tuple[int, ...] = (), low: tuple[int, ...] = ()) -> Side:
    """Return filters that made tones; those in ``low`` have a strong one at 20 Hz, too."""
    waves = [0.2 * np.sin(2 * np.pi * hz * TIME) for hz in tones_hz]
    for number in low:
        waves[number] = waves[number] + 0.7 * np.sin(2 * np.pi * 20 * TIME)
    end = np.array([number not in silent for number in range(len(waves))], dtype=np.float32)
    signals = LayerSignals(to_int16(np.stack(waves).astype(np.float32)), np.zeros_like(end), end)
    return Side.of(signals, RATE_HZ)


def test_distances_are_those_of_angles() -> None:
    a = np.array([[1.0, 0.0], [1.0, 1.0]])
    b = np.array([[5.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    half = 1 - 1 / np.sqrt(2)
    assert cosine_distances(a, b) == pytest.approx(np.array([[0, 1, 1], [half, half, 1]]))


def test_every_filter_finds_its_like_in_another_order() -> None:
    found = match(side(300, 600, 1000, 1500), side(1010, 310, 1490, 605))
    assert {pair.a: pair.b for pair in found.pairs} == {0: 1, 1: 3, 2: 0, 3: 2}
    assert all(pair.mutual for pair in found.pairs)
    distances = [pair.distance for pair in found.pairs]
    assert distances == sorted(distances)
    assert found.median == pytest.approx(np.median(distances))
    assert found.typical is not None
    assert found.median is not None
    assert found.typical > 10 * found.median


def test_two_filters_may_choose_one_partner_and_one_is_not_mutual() -> None:
    found = match(side(590, 600, 1500), side(600, 1500, 300))
    chosen = {pair.a: pair for pair in found.pairs}
    assert chosen[0].b == chosen[1].b == 0
    assert [chosen[n].mutual for n in range(3)] == [False, True, True]


def test_very_low_and_silent_filters_are_set_aside_on_both_sides() -> None:
    a = side(300, 600, 1000, low=(1,), silent=(2,))
    assert [(item.filter, item.reason) for item in a.set_aside] == [(1, "low"), (2, "silent")]
    assert a.set_aside[0].low_share > 0.9
    assert a.kept.tolist() == [0]
    found = match(side(300, 600), side(300, 300, 600, low=(0,)))
    assert {pair.a: pair.b for pair in found.pairs} == {0: 1, 1: 2}


def test_a_filter_that_was_only_woken_counts_as_silent() -> None:
    waves = np.stack([0.2 * np.sin(2 * np.pi * hz * TIME) for hz in (300, 600, 900, 1200, 1500)])
    end = np.array([20.0, 0.15, 0.25, 30.0, 25.0], dtype=np.float32)
    found = Side.of(LayerSignals(to_int16(waves), np.zeros_like(end), end), RATE_HZ)
    assert [(item.filter, item.reason) for item in found.set_aside] == [(1, "silent")]
    nothing = Side.of(LayerSignals(to_int16(waves), end * 0, end * 0), RATE_HZ)
    assert len(nothing.set_aside) == 5


def test_what_very_low_filters_would_do_if_they_took_part() -> None:
    """The paper's reason: what is left of them above lies as near to one filter as to another."""
    low = side(1000, 600, low=(0, 1)).spectra.bands
    others = side(100, 110).spectra.bands
    assert cosine_distances(low, others).max() < 0.3


def test_nothing_left_on_a_side_is_no_matching() -> None:
    found = match(side(300, 600), side(300, silent=(0,)))
    assert (found.pairs, found.typical, found.median) == ((), None, None)


def test_the_order_is_from_low_to_high_without_those_set_aside() -> None:
    assert side(900, 300, 1500, 600, low=(3,)).order().tolist() == [1, 0, 2]
