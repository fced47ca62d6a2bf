import numpy as np
import pytest

from shared.balance import balanced_order

LABELS = np.repeat([4, 7, 9], [600, 300, 100])


def shown(balance: float, seed: int = 0) -> np.ndarray:
    order = balanced_order(LABELS, balance, np.random.default_rng(seed))
    assert len(order) == len(LABELS)
    return order


def test_full_balance_shows_all_labels_equally_often() -> None:
    _, counts = np.unique(LABELS[shown(1.0)], return_counts=True)
    assert np.abs(counts - 1000 / 3).max() <= 2


def test_no_balance_shows_every_clip_once() -> None:
    assert sorted(shown(0.0)) == list(range(len(LABELS)))


def test_half_balance_lies_between() -> None:
    _, counts = np.unique(LABELS[shown(0.5)], return_counts=True)
    sizes = np.array([600, 300, 100])
    wanted = sizes**0.5 / (sizes**0.5).sum() * 1000
    assert np.abs(counts - wanted).max() <= 2


@pytest.mark.parametrize("balance", [0.3, 1.0])
def test_clips_of_one_label_come_equally_often_but_for_rounding(balance: float) -> None:
    times = np.bincount(shown(balance), minlength=len(LABELS))
    for label in (4, 7, 9):
        of_label = times[label == LABELS]
        assert of_label.max() - of_label.min() <= 1


def test_which_clips_are_rounded_up_is_drawn_anew() -> None:
    totals = sum(np.bincount(shown(1.0, seed), minlength=len(LABELS)) for seed in range(60))
    common = totals[LABELS == 4] / 60
    assert common.mean() == pytest.approx(1000 / 3 / 600, abs=0.01)
    assert common.min() > 0.2
    assert common.max() < 0.9


def test_the_order_is_shuffled_and_the_streams_own() -> None:
    assert shown(1.0).tolist() == shown(1.0).tolist()
    assert shown(1.0).tolist() != shown(1.0, 1).tolist()
    halves = [LABELS[part] for part in np.array_split(shown(1.0), 2)]
    assert abs((halves[0] == 9).mean() - (halves[1] == 9).mean()) < 0.1


def test_one_label_is_balanced_already() -> None:
    order = balanced_order(np.zeros(5, np.int64), 1.0, np.random.default_rng(0))
    assert sorted(order) == list(range(5))
