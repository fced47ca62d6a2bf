"""Defences that take away: top_k, temperature, label_only and confidence_buckets, by hand."""

import numpy as np
import pytest

from tests.support.rows import KINDS, make_row
from victim_service.defences import Asked, DefenceSpec, defend
from victim_service.defences.confidence_buckets import ConfidenceBucketsSpec
from victim_service.defences.label_only import LabelOnlySpec
from victim_service.defences.temperature import TemperatureSpec
from victim_service.defences.top_k import TopKSpec

ASKED = Asked(b"s" * 32, "alice", "c" * 64, "soft", 1)


def answers(rows: object, *chain: DefenceSpec) -> np.ndarray:
    given = np.atleast_2d(np.asarray(rows, dtype=np.float32))
    return defend(given, np.zeros((len(given), 4), np.float32), chain, ASKED)


def mixed(classes: int) -> np.ndarray:
    rng = np.random.default_rng(classes)
    return np.stack([make_row(kind, classes, rng) for kind in KINDS]).astype(np.float32)


@pytest.mark.parametrize(
    ("k", "rest", "expected"),
    [
        (1, "even", [0.5, 0.5 / 3, 0.5 / 3, 0.5 / 3]),
        (2, "even", [0.5, 0.3, 0.1, 0.1]),
        (2, "renormalise", [0.625, 0.375, 0, 0]),
        (1, "renormalise", [1, 0, 0, 0]),
        (4, "even", [0.5, 0.3, 0.15, 0.05]),
        (9, "renormalise", [0.5, 0.3, 0.15, 0.05]),
    ],
)
def test_top_k_by_hand(k, rest, expected):
    order = [2, 0, 3, 1]
    row = np.array([0.5, 0.3, 0.15, 0.05])[order]
    answer = answers(row, TopKSpec(k=k, rest=rest))[0]
    np.testing.assert_allclose(answer, np.array(expected)[order], atol=1e-7)


@pytest.mark.parametrize("classes", [3, 50, 1251])
def test_top_k_tells_k_probabilities_and_one_more_value(classes):
    rows = mixed(classes)
    for k in (1, 2):
        even = answers(rows, TopKSpec(k=k))
        assert max(len(np.unique(row)) for row in even) <= k + 1
        cut = answers(rows, TopKSpec(k=k, rest="renormalise"))
        assert np.count_nonzero(cut, axis=1).max() <= k
        # Twice is once.
        np.testing.assert_allclose(answers(even, TopKSpec(k=k)), even, atol=1e-6)
        np.testing.assert_allclose(answers(cut, TopKSpec(k=k, rest="renormalise")), cut, atol=1e-6)


def test_equal_labels_are_kept_by_number():
    answer = answers([0.25, 0.25, 0.25, 0.25], TopKSpec(k=2, rest="renormalise"))
    np.testing.assert_allclose(answer, [[0.5, 0.5, 0, 0]])


def test_temperature_is_the_softmax_of_scaled_logits():
    logits = np.random.default_rng(0).normal(0, 5, (6, 30))
    rows = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for temperature in (0.5, 3.0):
        powers = np.exp(logits / temperature)
        np.testing.assert_allclose(
            answers(rows, TemperatureSpec(temperature=temperature)),
            powers / powers.sum(axis=1, keepdims=True),
            rtol=1e-4,
        )


def test_two_temperatures_are_one():
    rows = mixed(40)
    twice = answers(rows, TemperatureSpec(temperature=2.0), TemperatureSpec(temperature=3.0))
    np.testing.assert_allclose(twice, answers(rows, TemperatureSpec(temperature=6.0)), atol=1e-5)


@pytest.mark.parametrize("classes", [2, 7, 1251])
def test_label_only_is_the_unit_vector_of_the_label(classes):
    rows = mixed(classes)
    expected = np.eye(classes, dtype=np.float32)[rows.argmax(axis=1)]
    np.testing.assert_array_equal(answers(rows, LabelOnlySpec()), expected)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ([0.45, 0.35, 0.2], 0.3),
        ([0.5, 0.3, 0.2], 0.7),
        ([0.89, 0.11, 0.0], 0.7),
        ([0.9, 0.1, 0.0], 0.95),
        ([1.0, 0.0, 0.0], 0.95),
    ],
)
def test_buckets_by_hand(row, told):
    # Of three labels a low 0.3 would not lead: a third is told.
    expected = max(told, 1 / 3)
    answer = answers(row, ConfidenceBucketsSpec())[0]
    np.testing.assert_allclose(answer, [expected, *[(1 - expected) / 2] * 2], atol=1e-7)


@pytest.mark.parametrize("classes", [2, 3, 20, 1251])
def test_buckets_tell_three_things_and_twice_is_once(classes):
    rng = np.random.default_rng(0)
    sizes = (0.05, 1.0, 5.0, 50.0)
    rows = np.concatenate([rng.dirichlet(np.full(classes, c / classes), 50) for c in sizes])
    spec = ConfidenceBucketsSpec()
    told = answers(rows, spec)
    # The likelier one of two labels is never below a half.
    assert len(np.unique(told.max(axis=1).round(6))) == (3 if classes > 2 else 2)
    np.testing.assert_array_equal(answers(told, spec), told)
