"""How many clips are triggers, what they are told, and whom the verifier accuses."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from victim_service.defences import Asked, clip_digests, defend
from victim_service.defences.dawn import DawnSpec, keyed_labels
from victim_service.defences.dawn_verify import tail, verify
from victim_service.defences.label_only import LabelOnlySpec
from victim_service.defences.temperature import TemperatureSpec

ASKED = Asked(b"s" * 32, "alice", "c" * 64, "soft", 1)
CLIPS, CLASSES = 6000, 10
CHAIN = (TemperatureSpec(temperature=2.0), DawnSpec(rate=0.02), LabelOnlySpec())


def clips(count: int = CLIPS) -> np.ndarray:
    return np.linspace(-1, 1, count, dtype=np.float32)[:, np.newaxis]


def rows(count: int = CLIPS, classes: int = CLASSES) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(classes), count).astype(np.float32)


def sold(asked: Asked = ASKED) -> np.ndarray:
    """The labels that an account gets."""
    labels: np.ndarray = defend(rows(), clips(), CHAIN, asked).argmax(axis=1)
    return labels


@pytest.mark.parametrize("rate", [0.005, 0.05, 0.5])
@pytest.mark.parametrize("classes", [2, 10, 250])
def test_the_share_of_wrong_labels_is_the_rate_but_for_triggers_that_are_told_the_truth(
    rate, classes
):
    model = rows(CLIPS, classes)
    told = defend(model, clips(), (DawnSpec(rate=rate),), ASKED)
    wrong = told.argmax(axis=1) != model.argmax(axis=1)
    interval = binomtest(int(wrong.sum()), CLIPS).proportion_ci(0.999)
    assert interval.low <= rate * (1 - 1 / classes) <= interval.high
    np.testing.assert_array_equal(told[~wrong], model[~wrong])


def test_a_trigger_has_two_entries_exchanged_and_nothing_else():
    spec = DawnSpec(rate=0.1)
    model = rows()
    told = defend(model, clips(), (spec,), ASKED)
    keyed = keyed_labels(ASKED.context("0:dawn", clip_digests(clips())), 0.1, CLASSES)
    np.testing.assert_array_equal(np.sort(told, axis=1), np.sort(model, axis=1))
    triggers = keyed >= 0
    np.testing.assert_array_equal(told.argmax(axis=1)[triggers], keyed[triggers])
    assert ((told != model).sum(axis=1) <= 2).all()
    assert np.bincount(keyed[triggers], minlength=CLASSES).min() > 20


def test_a_model_that_memorised_its_triggers_is_found_behind_other_links():
    verdict = verify(CHAIN, ASKED, clips(), sold(), CLASSES)
    assert verdict.clips == CLIPS
    assert verdict.agreements == verdict.triggers > 80
    assert verdict.stolen
    half = np.where(np.arange(CLIPS) % 2, sold(), rows().argmax(axis=1))
    found = verify(CHAIN, ASKED, clips(), half, CLASSES)
    assert found.agreements < found.triggers
    assert found.stolen


def test_models_that_never_saw_the_answers_are_let_go():
    """The victim's own labels, those of another account or key, constants and guesses."""
    rng = np.random.default_rng(1)
    suspects = [
        rows().argmax(axis=1),
        sold(replace(ASKED, account="bob")),
        sold(replace(ASKED, secret=b"t" * 32)),
        sold(replace(ASKED, plan_version=2)),
        np.zeros(CLIPS, dtype=np.int64),
        *rng.integers(CLASSES, size=(40, CLIPS)),
    ]
    p_values = [verify(CHAIN, ASKED, clips(), told, CLASSES).p_value for told in suspects]
    assert min(p_values) > 1e-3
    assert sum(value < 0.05 for value in p_values) < 8


def test_the_place_in_the_chain_is_part_of_the_key():
    shorter = CHAIN[1:]
    assert not verify(shorter, ASKED, clips(), sold(), CLASSES).stolen


def test_a_repeated_clip_counts_once():
    told = sold()
    once = verify(CHAIN, ASKED, clips(), told, CLASSES)
    twice = verify(CHAIN, ASKED, np.tile(clips(), (2, 1)), np.tile(told, 2), CLASSES)
    assert once == twice


@pytest.mark.parametrize(("trials", "rate"), [(1, 0.5), (20, 0.1), (250, 1 / 1251), (900, 0.5)])
def test_the_tail_is_that_of_the_binomial_law(trials, rate):
    for successes in {0, 1, trials // 50, trials // 2, trials}:
        expected = binom.sf(successes - 1, trials, rate)
        assert tail(trials, successes, rate) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ValueError, match=r"no `dawn`\. Name the plan"):
        verify((LabelOnlySpec(),), ASKED, clips(), sold(), CLASSES)
    for labels in (sold()[1:], sold() - 1, sold() + CLASSES):
        with pytest.raises(ValueError, match="Give one label, from 0 on, for each clip"):
            verify(CHAIN, ASKED, clips(), labels, CLASSES)
