import dataclasses
from pathlib import Path

import numpy as np
import pytest

from attacker.lab.bundle import Bundle
from attacker.lab.records import SurrogateRecord
from attacker.lab.results import Estimate
from attacker.lab.scores import Ruler, verdict, wilson
from tests.support.lab_world import CHECKPOINT, RATE_HZ, answers, bundle, campaign


def one_hot(labels: list[int], k: int = 3) -> np.ndarray:
    return np.eye(k, dtype=np.float32)[labels]


def small_bundle(labels: list[int]) -> Bundle:
    truth = np.array(labels, dtype=np.int64)
    clips = np.zeros((len(labels), 8), np.int16)
    return Bundle(clips, truth, ("a", "b", "c"), (1, 2, 3), RATE_HZ, CHECKPOINT, "b" * 64)


#                 truth    0  0  1  1  2  2
VICTIM_SAYS = one_hot([0, 0, 1, 1, 2, 0])  # 5 of 6 right
SURROGATE_SAYS = one_hot([0, 1, 1, 1, 0, 0])  # 3 of 6 right, 4 of 6 as the victim


def hand_ruler() -> Ruler:
    return Ruler(small_bundle([0, 0, 1, 1, 2, 2]), VICTIM_SAYS, seed=0, resamples=500)


def test_the_figures_of_a_hand_computed_case() -> None:
    record = dataclasses.replace(
        campaign(),
        labels=np.array([0, 0, 1, 1, 1]),
        kept=np.array([True, False, False, True, True]),
    )
    surrogate = SurrogateRecord(queries=4, volume=2, checkpoint="s", folder=Path())
    mark = hand_ruler().score_mark(record, surrogate, SURROGATE_SAYS)
    assert mark.accuracy.value == pytest.approx(3 / 6)
    assert mark.fidelity.value == pytest.approx(4 / 6)
    assert mark.coverage == pytest.approx(2 / 3)
    assert mark.kept_coverage == pytest.approx(2 / 3)
    recall = [item.recall.value for item in mark.recall if item.recall]
    assert recall == pytest.approx([1 / 2, 2 / 2, 0 / 2])
    assert [item.name for item in mark.recall] == ["a", "b", "c"]


def test_coverage_counts_only_what_was_asked_before_the_mark() -> None:
    record = dataclasses.replace(
        campaign(), labels=np.array([0, 0, 1, 2]), kept=np.array([False, True, True, True])
    )
    ruler = hand_ruler()
    marks = [
        ruler.score_mark(record, SurrogateRecord(q, 0, "s", Path()), SURROGATE_SAYS)
        for q in (1, 3, 4)
    ]
    assert [mark.coverage for mark in marks] == pytest.approx([1 / 3, 2 / 3, 1])
    assert [mark.kept_coverage for mark in marks] == pytest.approx([0, 2 / 3, 1])


def test_the_victim_is_scored_against_the_truth() -> None:
    victim = hand_ruler().score_victim()
    assert victim.accuracy.value == pytest.approx(5 / 6)
    assert victim.accuracy.low < 5 / 6 < victim.accuracy.high
    assert [item.clips for item in victim.recall] == [2, 2, 2]


def test_divergence_is_zero_from_itself_and_positive_otherwise() -> None:
    soft = answers(np.array([0, 0, 1, 1, 2, 2]), 3, 1.0, seed=3)
    ruler = Ruler(small_bundle([0, 0, 1, 1, 2, 2]), soft, seed=0, resamples=50)
    same, other = (
        ruler.score_mark(campaign(), SurrogateRecord(3, 3, "s", Path()), rows).kl_nats
        for rows in (soft, np.full((6, 3), 1 / 3, np.float32))
    )
    assert same.value == pytest.approx(0, abs=1e-9)
    assert other.value == pytest.approx(
        float(np.mean(np.sum(soft * np.log(soft * 3), 1))), abs=1e-5
    )


def test_agreement_has_the_victim_in_rows() -> None:
    counts = hand_ruler().agreement(SURROGATE_SAYS)
    assert counts.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_intervals_cover_the_true_rate_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    truth = small_bundle([0] * 200)
    hits = 0
    for trial in range(100):
        ruler = Ruler(truth, one_hot([0] * 200), seed=trial, resamples=300)
        found = ruler.estimate(rng.random(200) < 0.8)
        hits += found.low <= 0.8 <= found.high
    assert 88 <= hits <= 100


def test_intervals_are_the_same_on_every_run_and_narrow_with_more_clips() -> None:
    values = np.tile([1, 0, 1, 1], 25)
    few, again, many = (
        Ruler(small_bundle([0] * n), one_hot([0] * n), seed=1, resamples=400).estimate(rows)
        for n, rows in ((100, values), (100, values), (1600, np.tile(values, 16)))
    )
    assert few == again
    assert many.high - many.low < 0.5 * (few.high - few.low)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.01, 0.1, "above"),
        (-0.1, -0.01, "below"),
        (-0.01, 0.1, "undecided"),
        (0.0, 0.1, "undecided"),
        (-0.1, 0.0, "undecided"),
        (0.0, 0.0, "undecided"),
    ],
)
def test_a_verdict_needs_an_interval_without_zero(low: float, high: float, said: str) -> None:
    assert verdict(Estimate(value=(low + high) / 2, low=low, high=high)) == said


def compare(campaign_right: float, baseline_right: float, per_speaker: int = 40) -> tuple[str, str]:
    ruler_bundle = bundle(per_speaker)
    truth, k = ruler_bundle.labels, ruler_bundle.n_classes
    ruler = Ruler(ruler_bundle, answers(truth, k, 1.0, seed=0), seed=0, resamples=500)
    item = ruler.compare(
        ("wavegan", "proxy"),
        100,
        answers(truth, k, campaign_right, seed=1),
        answers(truth, k, baseline_right, seed=2),
    )
    assert item.accuracy.value == pytest.approx(campaign_right - baseline_right, abs=0.01)
    return item.accuracy_verdict, item.fidelity_verdict


def test_a_clear_gain_is_above_a_clear_loss_below_and_a_tie_undecided() -> None:
    assert compare(0.9, 0.5) == ("above", "above")
    assert compare(0.5, 0.9) == ("below", "below")
    assert compare(0.7, 0.7) == ("undecided", "undecided")


def test_pairing_decides_what_two_separate_intervals_could_not() -> None:
    # Both are right on the same 60 %, and one on 4 % more: a small difference without noise.
    n = 300
    truth = np.zeros(n, np.int64)
    base = np.where(np.arange(n) < 180, 0, 1)
    better = np.where(np.arange(n) < 192, 0, 1)
    ruler = Ruler(small_bundle([0] * n), one_hot([0] * n), seed=0, resamples=1000)
    item = ruler.compare(("w", "p"), 1, one_hot(better.tolist()), one_hot(base.tolist()))
    alone = ruler.estimate(better == truth)
    assert alone.low < 0.6  # a separate interval would not tell them apart
    assert item.accuracy_verdict == "above"


def test_wilson_agrees_with_a_published_value_and_stays_in_range() -> None:
    # 81 of 263: 0.2553 to 0.3662 (Newcombe 1998, method 3).
    found = wilson(81, 263)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    sure = wilson(4, 4)
    assert sure is not None
    assert sure.high == pytest.approx(1)
    assert 0.4 < sure.low < 0.6
    assert wilson(0, 0) is None


def test_victim_answers_of_a_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="Delete the run's lab/cache"):
        Ruler(small_bundle([0, 1]), one_hot([0, 1, 2]), seed=0)
