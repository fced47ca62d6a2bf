"""Adaptions: one row each, and every row keeps every promise of the base class."""

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from attacker.adaptive import ADAPTIONS, AdaptionContext, AdaptionSpec, AnyAdaptionSpec
from attacker.adaptive.average import AverageSpec
from attacker.adaptive.denoiser import DenoiserSpec
from attacker.adaptive.groups import shared_mean
from attacker.adaptive.inversion import InversionSpec
from attacker.adaptive.majority import MajoritySpec
from attacker.adaptive.top1 import Top1Spec
from attacker.errors import ExperimentError, KnowledgeMissing
from attacker.known_defences.temperature import KnownTemperature

TABLE: list[AdaptionSpec] = [
    Top1Spec(),
    AverageSpec(),
    MajoritySpec(),
    InversionSpec(rows=4000),
    DenoiserSpec(rows=4000, hidden=16),
]
GROUPS = np.array([7, 7, 7, 2, 2, 5, 2, 7])
CONTEXT = AdaptionContext(3, GROUPS, KnownTemperature(temperature=2))


def answers(classes: int = 4) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(classes), len(GROUPS)).astype(np.float32)


def test_every_adaption_has_a_row() -> None:
    assert [spec.kind for spec in TABLE] == list(ADAPTIONS)


@pytest.mark.parametrize("spec", TABLE, ids=lambda spec: spec.kind)
def test_targets_are_whole_and_the_same_bit_by_bit(spec: AdaptionSpec) -> None:
    given = answers()
    before = given.copy()
    targets = spec.build(CONTEXT).adapt(given)
    assert np.array_equal(given, before)
    assert np.array_equal(targets, spec.build(CONTEXT).adapt(given))
    if spec.gives_labels:
        assert (targets.shape, targets.dtype) == ((8,), np.int64)
    else:
        assert (targets.shape, targets.dtype) == ((8, 4), np.float32)
        assert (targets >= 0).all()
        assert targets.sum(axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("spec", TABLE, ids=lambda spec: spec.kind)
def test_what_an_adaption_needs_is_demanded(spec: AdaptionSpec) -> None:
    bare = AdaptionContext(3)
    if spec.needs_copies:
        with pytest.raises(ExperimentError, match=r"several copies of each window.*jitter"):
            spec.build(bare)
    elif spec.needs_defence:
        with pytest.raises(KnowledgeMissing, match=r"knowledge\.defence"):
            spec.build(bare)
    else:
        spec.build(bare).adapt(answers())


@pytest.mark.parametrize("spec", TABLE, ids=lambda spec: spec.kind)
def test_a_spec_survives_yaml_and_refuses_unknown_fields(spec: AdaptionSpec) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(AnyAdaptionSpec)
    assert adapter.validate_python(spec.model_dump(mode="json")) == spec
    with pytest.raises(ValueError, match="extra"):
        adapter.validate_python({**spec.model_dump(), "copeis": 1})


def test_top1_hears_nothing_but_the_label() -> None:
    given = answers()
    bent = given**0.2 / (given**0.2).sum(axis=1, keepdims=True)
    top1 = Top1Spec().build(CONTEXT)
    assert np.array_equal(top1.adapt(given), given.argmax(axis=1))
    assert np.array_equal(top1.adapt(bent), top1.adapt(given))


def test_the_average_is_that_of_the_copies_in_any_order() -> None:
    given = answers()
    targets = AverageSpec().build(CONTEXT).adapt(given)
    for group in (2, 5, 7):
        mine = group == GROUPS
        wanted = np.tile(given[mine].mean(axis=0), (mine.sum(), 1))
        assert targets[mine] == pytest.approx(wanted)
    assert shared_mean(given[:0], GROUPS[:0]).shape == (0, 4)


def test_averaging_m_copies_takes_noise_down_by_the_root_of_m() -> None:
    rng = np.random.default_rng(1)
    clean = rng.dirichlet(np.full(5, 8.0), 400)
    noisy = np.repeat(clean, 9, axis=0) + rng.normal(0, 0.02, (3600, 5))
    noisy -= noisy.mean(axis=1, keepdims=True) - 0.2  # sums to 1 again
    context = AdaptionContext(0, np.repeat(np.arange(400), 9))
    means = AverageSpec().build(context).adapt(noisy.astype(np.float32))[::9]
    ratio = np.std(noisy[::9] - clean) / np.std(means - clean)
    assert ratio == pytest.approx(3, rel=0.1)


def test_the_majority_wins_and_ties_go_to_the_more_probable() -> None:
    votes = np.array(
        [
            [0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.0, 1.0, 0.0],  # two of three, if barely
            [0.6, 0.4, 0.0], [0.1, 0.9, 0.0],  # one each: 0.7 against 1.3
            [0.0, 0.5, 0.5], [0.0, 0.5, 0.5],
        ],
        dtype=np.float32,
    )  # fmt: skip
    groups = np.array([0, 0, 0, 1, 1, 2, 2])
    labels = MajoritySpec().build(AdaptionContext(0, groups)).adapt(votes)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_a_majority_mends_labels_that_were_drawn_by_lot() -> None:
    rng = np.random.default_rng(2)
    truth = np.repeat(rng.integers(0, 6, 300), 7)
    told = np.where(rng.random(2100) < 0.3, rng.integers(0, 6, 2100), truth)
    context = AdaptionContext(0, np.repeat(np.arange(300), 7))
    voted = MajoritySpec().build(context).adapt(np.eye(6, dtype=np.float32)[told])
    assert (told == truth).mean() < 0.8
    assert (voted == truth).mean() > 0.97
