"""How much of an answer misleads, and what the misleading part says."""

import numpy as np
import pytest

from victim_service.defences import Asked, clip_digests, defend
from victim_service.defences.adaptive_misinformation import (
    AdaptiveMisinformationSpec,
    misleading,
    misled_share,
)

ASKED = Asked(b"s" * 32, "alice", "c" * 64, "soft", 1)


def clips_for(rows: np.ndarray) -> np.ndarray:
    return np.linspace(-1, 1, len(rows), dtype=np.float32)[:, np.newaxis]


def sure(tops: np.ndarray, classes: int = 12) -> np.ndarray:
    """Rows (B, K) whose largest probability is as given, at label 3."""
    rest = np.random.default_rng(0).dirichlet(np.full(classes - 1, 20.0), len(tops))
    rows = np.insert(rest * (1 - tops[:, np.newaxis]), 3, tops, axis=1)
    assert (rows.argmax(axis=1) == 3).all()
    return rows.astype(np.float32)


def told(rows: np.ndarray, **fields: float) -> np.ndarray:
    spec = AdaptiveMisinformationSpec(**{"tau": 0.6, **fields})
    return defend(rows, clips_for(rows), (spec,), ASKED)


def misled(rows: np.ndarray) -> np.ndarray:
    context = ASKED.context("0:adaptive_misinformation", clip_digests(clips_for(rows)))
    return misleading(rows.astype(np.float64), rows.argmax(axis=1), context)


@pytest.mark.parametrize("nu", [0.5, 20.0, 1000.0, 1e6])
@pytest.mark.parametrize("tau", [0.1, 0.6, 1.0])
def test_the_share_is_the_published_curve_and_a_half_at_tau(nu, tau):
    sureness = np.linspace(0.001, 1, 300)[:, np.newaxis]
    share = misled_share(sureness, tau, nu)
    power = np.minimum(nu * (sureness - tau), 700)
    np.testing.assert_allclose(share, 1 / (1 + np.exp(power)), atol=1e-12)
    assert misled_share(np.array([[tau]]), tau, nu).item() == 0.5
    assert (np.diff(share[:, 0]) <= 0).all()


def test_an_answer_at_tau_is_half_of_each():
    rows = sure(np.full(50, 0.5))  # 0.5 and its sum are exact
    exactly = rows.astype(np.float64) / rows.sum(axis=1, dtype=np.float64, keepdims=True)
    tau = float(exactly[0, 3])
    np.testing.assert_allclose(told(rows, tau=tau, nu=1.0), (rows + misled(rows)) / 2, atol=1e-6)


def test_answers_above_tau_are_left_alone_and_those_below_mislead():
    rows = sure(np.linspace(0.62, 0.999, 80))
    np.testing.assert_allclose(told(rows, nu=1000.0), rows, rtol=0, atol=1e-6)
    rows = sure(np.linspace(0.3, 0.58, 80))
    answers = told(rows, nu=1000.0)
    assert (answers.argmax(axis=1) != 3).all()
    np.testing.assert_allclose(answers, misled(rows), rtol=0, atol=1e-6)


def test_misleading_rows_deal_out_the_same_probabilities_and_never_the_largest_to_the_top_label():
    rows = sure(np.linspace(0.3, 0.9, 60))
    dealt = misled(rows)
    np.testing.assert_allclose(np.sort(dealt, axis=1), np.sort(rows, axis=1))
    assert (dealt.argmax(axis=1) != 3).all()


@pytest.mark.parametrize("top", [0, 3, 11])
def test_every_other_label_is_as_likely_to_lead(top):
    rows = np.roll(sure(np.full(2200, 0.5)), top - 3, axis=1)
    leads = np.bincount(misled(rows).argmax(axis=1), minlength=12)
    assert leads[top] == 0
    expected = 2200 / 11
    assert np.abs(np.delete(leads, top) - expected).max() < 5 * expected**0.5


def test_no_place_in_the_order_betrays_the_top_label():
    rows = sure(np.full(2200, 0.5))
    places = (misled(rows) > misled(rows)[:, 3:4]).sum(axis=1)
    counts = np.bincount(places, minlength=12)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 200).max() < 5 * 200**0.5


def test_of_two_labels_the_other_one_leads():
    rows = np.tile(np.array([0.55, 0.45], dtype=np.float32), (9, 1))
    np.testing.assert_allclose(told(rows), rows[:, ::-1], atol=1e-6)
