"""Rounding keeps the simplex, the label, and every entry near where it was."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.rows import make_row, probability_rows
from victim_service.defences.rounding import round_rows


@given(rows=probability_rows(), decimals=st.integers(1, 6))
@example(rows=np.eye(2, dtype=np.float32), decimals=1)
@example(rows=np.full((1, 1251), 1 / 1251, np.float32), decimals=1)
@example(rows=np.full((1, 1251), 1 / 1251, np.float32), decimals=6)
@settings(max_examples=300, deadline=None)
def test_rounded_rows_lie_on_the_simplex_and_near_what_they_were(
    rows: np.ndarray, decimals: int
) -> None:
    rounded = round_rows(rows, decimals)
    assert rounded.dtype == np.float32
    assert rounded.min() >= 0
    assert np.abs(rounded.sum(axis=1, dtype=np.float64) - 1).max() <= 1e-6
    units = rounded.astype(np.float64) * 10**decimals
    assert np.abs(units - np.rint(units)).max() <= 10**decimals * 1e-7
    top = rows.argmax(axis=1)
    np.testing.assert_array_equal(rounded.argmax(axis=1), top)
    off = np.abs(np.rint(units) - rows.astype(np.float64) * 10**decimals)
    slack = 10**decimals * 2e-6  # rows of float32 do not sum to 1 exactly
    assert np.take_along_axis(off, top[:, np.newaxis], 1).max() < 2 + slack
    np.put_along_axis(off, top[:, np.newaxis], 0, 1)
    assert off.max() < 1 + slack


@given(rows=probability_rows(), decimals=st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_rounding_twice_is_rounding_once(rows: np.ndarray, decimals: int) -> None:
    once = round_rows(rows, decimals)
    np.testing.assert_array_equal(round_rows(once, decimals), once)


@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(2, 400),
    kind=st.sampled_from(["sharp", "flat"]),
    decimals=st.integers(1, 3),
)
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_labels_means_nothing(
    seed: int, classes: int, kind: str, decimals: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = make_row(kind, classes, rng)[np.newaxis].astype(np.float32)
    if len(np.unique(rows)) < classes:
        return  # equal entries go by the smaller label
    order = rng.permutation(classes)
    np.testing.assert_array_equal(
        round_rows(rows[:, order], decimals), round_rows(rows, decimals)[:, order]
    )


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([0.14, 0.25, 0.61], [0.1, 0.3, 0.6]),
        ([1 / 3, 1 / 3, 1 / 3], [0.4, 0.3, 0.3]),
        ([0.333, 0.333, 0.334], [0.3, 0.3, 0.4]),
        ([0.41, 0.42, 0.17], [0.4, 0.5, 0.1]),  # not 0.4, 0.4, 0.2: the second one leads
        ([0.0, 1.0], [0.0, 1.0]),
    ],
)
def test_a_row_by_hand(row: list[float], expected: list[float]) -> None:
    rounded = round_rows(np.array([row], np.float32), 1)[0]
    assert rounded.tolist() == pytest.approx(expected, abs=1e-7)
