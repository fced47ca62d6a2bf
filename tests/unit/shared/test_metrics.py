import numpy as np
import pytest

from shared import metrics


def test_accuracy_and_fidelity() -> None:
    predicted = np.array([0, 1, 2, 2])
    assert metrics.accuracy(predicted, np.array([0, 1, 1, 2])) == 0.75
    assert metrics.fidelity(predicted, np.array([1, 1, 1, 2])) == 0.5


def test_coverage_counts_labels_not_clips() -> None:
    assert metrics.coverage(np.array([3, 3, 7, 3]), 10) == 0.2
    assert metrics.coverage(np.array([], dtype=int), 10) == 0.0


def test_kl_by_hand() -> None:
    p = np.array([[0.5, 0.5], [1.0, 0.0]])
    q = np.array([[0.5, 0.5], [0.25, 0.75]])
    np.testing.assert_allclose(metrics.kl(p, q), [0.0, np.log(4)], atol=1e-6)
    assert np.isfinite(metrics.kl(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))).all()


def test_confusion_and_recall() -> None:
    truth, predicted = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 2])
    assert metrics.confusion(truth, predicted, 4).tolist() == [
        [1, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0],
    ]  # fmt: skip
    recall = metrics.per_class_recall(truth, predicted, 4)
    np.testing.assert_allclose(recall, [0.5, 2 / 3, np.nan, np.nan])


def test_bootstrap_is_seeded_and_close_to_the_normal_interval() -> None:
    values = (np.arange(400) % 10 < 7).astype(float)
    interval = metrics.bootstrap(values, seed=1)
    half = 1.96 * np.sqrt(0.7 * 0.3 / 400)
    assert interval.value == pytest.approx(0.7)
    assert interval.low == pytest.approx(0.7 - half, abs=0.012)
    assert interval.high == pytest.approx(0.7 + half, abs=0.012)
    assert interval == metrics.bootstrap(values, seed=1)
    assert interval != metrics.bootstrap(values, seed=2)


def test_bootstrap_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        sample = (rng.random(150) < 0.6).astype(float)
        interval = metrics.bootstrap(sample, seed=trial, resamples=500)
        hits += interval.low <= 0.6 <= interval.high
    assert 180 <= hits <= 199


def test_a_statistic_of_ones_own() -> None:
    interval = metrics.bootstrap(
        np.array([1.0, 2.0, 9.0]), statistic=lambda rows: np.median(rows, axis=1)
    )
    assert interval.value == 2.0
    assert (interval.low, interval.high) == (1.0, 9.0)


def test_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="at least one"):
        metrics.bootstrap(np.array([]))
    with pytest.raises(ValueError, match="same number"):
        metrics.accuracy(np.zeros(2), np.zeros(3))


def test_intervals_read_as_percentages() -> None:
    assert str(metrics.Interval(0.5, 0.412, 0.59)) == "50.0 % [41.2, 59.0]"
