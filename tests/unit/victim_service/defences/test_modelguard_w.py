"""ModelGuard-W against a solver of linear programmes."""

import numpy as np
import pytest

from tests.support.linear_programme import solved
from tests.support.rows import KINDS, make_row
from victim_service.defences.modelguard_w import least_telling


def informing(row: np.ndarray) -> np.ndarray:
    return np.log(row + 1e-6)


def told(answer: np.ndarray, row: np.ndarray) -> float:
    return float((answer * informing(row)).sum())


@pytest.mark.parametrize("classes", [2, 3, 4, 10, 60])
@pytest.mark.parametrize("epsilon", [0.02, 0.5, 1.0, 1.6, 2.0])
@pytest.mark.parametrize("margin", [1e-4, 0.01])
def test_the_greedy_filling_is_as_good_as_the_solver(classes, epsilon, margin):
    rng = np.random.default_rng(classes)
    rows = np.stack([make_row(kind, classes, rng) for kind in KINDS for _ in range(3)])
    for row, answer in zip(rows, least_telling(rows, epsilon, margin), strict=True):
        assert answer.min() >= 0
        assert answer.sum() == pytest.approx(1, abs=1e-9)
        assert np.abs(answer - row).sum() <= epsilon + 1e-9
        others = np.delete(answer, row.argmax())
        assert answer[row.argmax()] >= others.max() + margin - 1e-9
        assert told(answer, row) <= solved(row, informing(row), epsilon, margin) + 2e-6


def test_a_row_where_the_top_label_has_to_rise():
    """What is taken from the second label cannot all go to the third: it would lead."""
    row = np.array([[0.4, 0.39, 0.21]])
    answer = least_telling(row, 2.0, 1e-4)[0]
    np.testing.assert_allclose(answer, [0.50005, 0, 0.49995], atol=1e-6)
    assert told(answer, row[0]) == pytest.approx(
        solved(row[0], informing(row[0]), 2.0, 1e-4), abs=1e-6
    )


def test_a_row_by_hand():
    # All of epsilon / 2 goes from the likeliest label to the least likely one.
    answer = least_telling(np.array([[0.7, 0.2, 0.06, 0.04]]), 0.4, 1e-4)[0]
    np.testing.assert_allclose(answer, [0.5, 0.2, 0.06, 0.24], atol=1e-8)


@pytest.mark.parametrize("classes", [250, 1251])
def test_no_small_move_within_the_bounds_tells_less(classes):
    """What a solver would take long for: no pair of labels can trade and gain."""
    rng = np.random.default_rng(0)
    rows = np.stack([make_row(kind, classes, rng) for kind in ("sharp", "flat", "tiny")])
    step = 1e-5
    for row, answer in zip(rows, least_telling(rows, 0.8, 1e-4), strict=True):
        best = told(answer, row)
        for giver in np.argsort(-row)[:20]:
            for taker in np.argsort(row)[:20]:
                trial = answer.copy()
                trial[giver] -= step
                trial[taker] += step
                others = np.delete(trial, row.argmax())
                allowed = (
                    trial.min() >= 0
                    and np.abs(trial - row).sum() <= 0.8
                    and trial[row.argmax()] >= others.max() + 1e-4
                )
                assert not allowed or told(trial, row) >= best - 1e-9
