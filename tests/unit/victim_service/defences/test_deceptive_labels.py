"""How often labels are exchanged near a boundary, and that they are left alone elsewhere."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from victim_service.defences import Asked, defend
from victim_service.defences.deceptive_labels import DeceptiveLabelsSpec, flip_rate

ASKED = Asked(b"s" * 32, "alice", "c" * 64, "soft", 1)
CLIPS = 3000
NEAR = np.array([0.1, 0.4, 0.05, 0.35, 0.06, 0.04])
"""Labels by probability: 1, 3, 0, 4, 2, 5; the first two are 0.05 apart."""


def labels(row: np.ndarray, asked: Asked = ASKED, **fields: object) -> np.ndarray:
    """The label of each of many clips that have the same probabilities."""
    spec = DeceptiveLabelsSpec.model_validate({"delta": 0.1, "privacy": 1.0, **fields})
    rows = np.tile(row.astype(np.float32), (CLIPS, 1))
    answers = defend(rows, np.arange(CLIPS, dtype=np.float32)[:, np.newaxis], (spec,), asked)
    assert (np.sort(answers, axis=1)[:, -1] == 1).all()
    assert (answers.sum(axis=1) == 1).all()
    found: np.ndarray = answers.argmax(axis=1)
    return found


@pytest.mark.parametrize("privacy", [0.01, 0.5, 2.0, 4.0])
@pytest.mark.parametrize("among", [2, 3, 6, 50])
def test_the_flip_rate_is_that_of_randomised_response(privacy, among):
    found = labels(NEAR, privacy=privacy, labels=among)
    leading = [1, 3, 0, 4, 2, 5][:among]
    assert set(found) <= set(leading)
    ways = len(leading)
    rate = (ways - 1) / (math.exp(privacy) + ways - 1)
    assert rate == pytest.approx(flip_rate(privacy, ways))
    flips = int((found != 1).sum())
    interval = binomtest(flips, CLIPS).proportion_ci(0.999)
    assert interval.low <= rate <= interval.high
    counts = np.bincount(found, minlength=6)[leading[1:]]
    assert ways == 2 or chisquare(counts).pvalue > 1e-4


def test_outside_the_zone_nothing_is_exchanged():
    assert (labels(NEAR, delta=0.049) == 1).all()
    assert (labels(np.array([0.9, 0.1]), delta=0.79) == 0).all()
    assert (labels(NEAR, delta=0.051) != 1).any()


def test_a_label_is_never_much_likelier_than_another():
    """The promise itself: the odds of two answers differ by e^privacy at most, whatever the row."""
    other = NEAR[[0, 3, 2, 1, 4, 5]]  # labels 1 and 3 have changed places
    shares = [np.mean(labels(row, privacy=1.0) == 1) for row in (NEAR, other)]
    assert shares[0] / shares[1] == pytest.approx(math.e, rel=0.15)


def test_accounts_are_deceived_apart_and_each_one_the_same_way():
    first = labels(NEAR)
    np.testing.assert_array_equal(first, labels(NEAR))
    other = labels(NEAR, replace(ASKED, account="bob"))
    rate = flip_rate(1.0, 2)
    agreement = rate**2 + (1 - rate) ** 2
    interval = binomtest(int((first == other).sum()), CLIPS).proportion_ci(0.999)
    assert interval.low <= agreement <= interval.high


def test_equal_labels_are_in_the_zone():
    assert set(labels(np.full(4, 0.25), delta=0.001, labels=4)) == {0, 1, 2, 3}
