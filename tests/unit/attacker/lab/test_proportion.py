"""Exact intervals of counted shares, against closed forms and published values."""

import math

import pytest

from attacker.lab.proportion import proportion

KNOWN = [  # hits, trials, low, high: Clopper and Pearson's, as tables print them
    (1, 10, 0.00253, 0.44502),
    (5, 10, 0.18709, 0.81291),
    (3, 40, 0.01574, 0.20386),
    (81, 263, 0.25274, 0.36762),
]


@pytest.mark.parametrize(("hits", "trials", "low", "high"), KNOWN)
def test_known_intervals(hits: int, trials: int, low: float, high: float) -> None:
    found = proportion(hits, trials)
    assert found is not None
    assert found.share == hits / trials
    assert found.low == pytest.approx(low, abs=2e-5)
    assert found.high == pytest.approx(high, abs=2e-5)


@pytest.mark.parametrize("trials", [1, 7, 1000, 200_000])
def test_none_and_all_have_closed_forms(trials: int) -> None:
    none, every = proportion(0, trials), proportion(trials, trials)
    assert none is not None
    assert every is not None
    edge = 1 - 0.025 ** (1 / trials)
    assert (none.low, every.high) == (0.0, 1.0)
    assert none.high == pytest.approx(edge, rel=1e-6)
    assert 1 - every.low == pytest.approx(edge, rel=1e-6)
    assert none.high == pytest.approx(3.7 / trials, rel=0.01) or trials < 1000


def test_the_other_outcome_has_the_mirrored_interval() -> None:
    few, many = proportion(3, 5000), proportion(4997, 5000)
    assert few is not None
    assert many is not None
    assert few.low == pytest.approx(1 - many.high, rel=1e-6)
    assert few.high == pytest.approx(1 - many.low, rel=1e-6)


@pytest.mark.parametrize("share", [0.001, 0.03, 0.5])
def test_it_covers_the_truth_at_least_as_often_as_it_says(share: float) -> None:
    trials, covered = 60, 0.0
    for hits in range(trials + 1):
        found = proportion(hits, trials)
        assert found is not None
        if found.low <= share <= found.high:
            covered += math.comb(trials, hits) * share**hits * (1 - share) ** (trials - hits)
    assert covered >= 0.95


def test_no_trial_says_nothing_and_nonsense_is_refused() -> None:
    assert proportion(0, 0) is None
    for hits, trials in ((2, 1), (-1, 4)):
        with pytest.raises(ValueError, match="cannot be"):
            proportion(hits, trials)
