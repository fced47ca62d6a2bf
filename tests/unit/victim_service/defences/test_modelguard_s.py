"""ModelGuard-S: how near its answers are, and how many there are beside the published list."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rows import probability_rows
from tests.support.shared_answers import different, published_answers, softmax_rows
from victim_service.defences import Asked, defend
from victim_service.defences.modelguard_s import ModelGuardSSpec, forms, quantise
from victim_service.defences.simplex import exact

ASKED = Asked(b"s" * 32, "alice", "c" * 64, "soft", 1)


def answered(rows: np.ndarray, epsilon: float) -> np.ndarray:
    """What is released of ``rows`` (B, K)."""
    clips = np.arange(len(rows), dtype=np.float32)[:, np.newaxis]
    return defend(rows, clips, (ModelGuardSSpec(epsilon=epsilon),), ASKED)


@given(rows=probability_rows(most_classes=300), epsilon=st.sampled_from([0.01, 0.3, 1.0, 1.99]))
@settings(max_examples=60, deadline=None)
def test_every_quantised_row_is_near_and_led_by_its_label(rows: np.ndarray, epsilon: float) -> None:
    wide = exact(rows)
    answers = quantise(wide, epsilon)
    assert np.abs(answers - wide).sum(axis=1).max() <= epsilon + 1e-9
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-9)
    assert answers.min() >= 0
    leads = answers.max(axis=1) - answers[np.arange(len(rows)), wide.argmax(axis=1)]
    assert leads.max() <= 1e-12


LAWS = [(10, 3000), (30, 3000), (1251, 400)]
laws = pytest.mark.parametrize(("classes", "count"), LAWS)
spreads = pytest.mark.parametrize("spread", [6.0, 2.0, 1.0], ids=["peaked", "middling", "flat"])


@laws
@spreads
@pytest.mark.parametrize("epsilon", [1.0, 0.5])
def test_there_are_hardly_more_answers_than_in_the_published_list(classes, count, spread, epsilon):
    rows = softmax_rows(classes, spread, count)
    told = different(answered(rows, epsilon))
    assert told <= 1.3 * published_answers(rows, epsilon)
    if epsilon == 1.0:
        assert told <= published_answers(rows, epsilon)


@laws
@spreads
@pytest.mark.parametrize("epsilon", [1.0, 0.5, 0.1])
def test_a_label_that_is_sure_enough_has_one_answer(classes, count, spread, epsilon):
    rows = softmax_rows(classes, spread, count)
    rows = np.concatenate([rows, (rows + np.eye(classes)[rows.argmax(axis=1)]) / 2])
    sure = rows[rows.max(axis=1) >= 1 - epsilon / 2].astype(np.float32)
    assert different(answered(sure, epsilon)) == len(np.unique(sure.argmax(axis=1)))


@pytest.mark.parametrize("classes", [10, 30, 1251])
def test_two_labels_that_hold_nearly_all_have_few_answers(classes):
    """Whatever each has of it, however many queries, and however many other labels there are."""
    top = np.linspace(0.501, 1, 300)
    rows = np.full((300, classes), 1e-6 / classes)
    rows[:, 3] += (1 - 1e-6) * top
    rows[:, 7] += (1 - 1e-6) * (1 - top)
    for epsilon, most in ((1.0, 2), (0.5, 4), (0.3, 8)):
        assert different(answered(rows.astype(np.float32), epsilon)) <= most


def test_the_list_opens_with_the_same_forms_for_all_rows():
    opening = list(islice(forms(1251, 1.0), 25))
    assert opening[:3] == [(1, 2, 0.5), (1, 2, 0.25), (1, 2, 0.0625)]
    assert [form[:2] for form in opening[10:20:5]] == [(2, 3), (2, 9)]
    # The last forms tell all labels; 64 parts for each label bring every row within 0.01.
    assert list(islice(forms(2, 1.0), 10, 13)) == [(2, 2, 1.0), (2, 4, 1.0), (2, 8, 1.0)]
    short = sum(told < 1251 for told, _, _ in islice(forms(1251, 1.0), 200))
    assert short == 12 * 2 * 5


@pytest.mark.parametrize("spread", [6.0, 2.0, 1.0])
@pytest.mark.parametrize("epsilon", [1.0, 0.5, 0.1])
def test_a_batch_of_real_size_is_its_rows_alone_bit_for_bit(spread, epsilon):
    rows = softmax_rows(1251, spread, 24)
    together = answered(rows, epsilon)
    alone = [answered(rows[n : n + 1], epsilon) for n in range(len(rows))]
    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_quantised_rows_by_hand():
    # Half is dealt out, to the top label, and half to all four: 0.025 + 0.075 + 0.025 + 0.075.
    rows = np.array([[0.6, 0.2, 0.15, 0.05], [0.25, 0.25, 0.25, 0.25]])
    np.testing.assert_allclose(quantise(rows, 1.0), [[0.625, 0.125, 0.125, 0.125]] * 2)
    # Within 0.2 no row tells one label. Of two thirds and one third of 0.9, each with 0.1 / 4 more:
    np.testing.assert_allclose(
        quantise(np.array([[0.02, 0.6, 0.36, 0.02]]), 0.2), [[0.025, 0.625, 0.325, 0.025]]
    )
    # Three labels of four share alike, of 4 parts the first has two, of 13 parts 5, 4 and 4.
    answer = quantise(np.array([[0.33, 0.33, 0.33, 0.01]]), 0.2)
    np.testing.assert_allclose(answer, [[0.9 * 5 / 13 + 0.025, *[0.9 * 4 / 13 + 0.025] * 2, 0.025]])


@pytest.mark.parametrize("classes", [2, 3, 6, 7, 10, 1251])
def test_the_largest_epsilon_leaves_an_even_row_even(classes):
    even = np.full((2, classes), 1 / classes)
    with np.errstate(all="raise"):  # no share is left to the top label
        answers = quantise(even, float(np.nextafter(2, 0)))
    np.testing.assert_allclose(answers, even, atol=1e-12)


def test_who_asked_before_changes_no_answer():
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.full(30, 0.1), 200)
    order = rng.permutation(200)
    np.testing.assert_array_equal(quantise(rows, 0.7)[order], quantise(rows[order], 0.7))
