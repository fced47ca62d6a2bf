"""Calibration error: against what can be counted by hand."""

import numpy as np
import pytest

from attacker.lab.calibration import expected_calibration_error
from attacker.oracle import as_rows


def rows(confidence: list[float]) -> np.ndarray:
    return np.array([[c, 1 - c] for c in confidence])


def test_sure_and_right_has_no_error_and_sure_and_wrong_has_all() -> None:
    sure = rows([1.0] * 8)
    assert expected_calibration_error(sure, np.zeros(8, dtype=np.int64)) == 0
    assert expected_calibration_error(sure, np.ones(8, dtype=np.int64)) == 1


def test_bins_are_weighed_by_their_clips() -> None:
    # Three clips of confidence 0.8, one right; one clip of 0.6, right.
    truth = np.array([0, 1, 1, 0])
    error = expected_calibration_error(rows([0.8, 0.8, 0.8, 0.6]), truth, bins=10)
    assert error == pytest.approx(3 / 4 * abs(1 / 3 - 0.8) + 1 / 4 * 0.4)


def test_overconfidence_does_not_pay_for_underconfidence_elsewhere() -> None:
    truth = np.array([1, 0])
    assert expected_calibration_error(rows([0.7, 0.7]), truth, bins=2) == pytest.approx(0.2)
    assert expected_calibration_error(rows([0.9, 0.6]), truth, bins=10) == pytest.approx(0.65)


def test_calibrated_answers_have_little_error() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 20_000)
    truth = (rng.random(20_000) > confidence).astype(np.int64)
    assert expected_calibration_error(rows(confidence.tolist()), truth) < 0.02


def test_a_label_is_sure_of_itself() -> None:
    assert as_rows(np.array([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    soft = np.full((2, 3), 1 / 3)
    assert as_rows(soft, 3) is soft


def test_nothing_has_no_error() -> None:
    with pytest.raises(ValueError, match="0 rows"):
        expected_calibration_error(np.zeros((0, 2)), np.zeros(0))
