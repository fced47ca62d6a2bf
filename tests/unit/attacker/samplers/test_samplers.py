"""Samplers: one row each in the table, and Algorithm 1 written naively as the judge."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from attacker.errors import KnowledgeMissing
from attacker.samplers import SAMPLERS, Sampler, SamplerContext, SamplerSpec
from attacker.samplers.dynamic_threshold import DynamicThresholdSpec
from attacker.samplers.keep_all import KeepAllSpec
from attacker.samplers.static_threshold import StaticThresholdSpec

COUNTS = np.array([3, 0, 10, 1])
CONTEXT = SamplerContext(4, COUNTS)
TABLE = {
    "keep_all": (KeepAllSpec(), None),
    "static_threshold": (StaticThresholdSpec(tau=2), [2, 2, 2, 2]),
    "dynamic_threshold": (DynamicThresholdSpec(alpha=1.1), [4, 0, 11, 2]),
}


def test_every_sampler_of_the_package_has_a_row() -> None:
    assert set(TABLE) == set(SAMPLERS)


@pytest.mark.parametrize("kind", TABLE)
def test_caps_are_those_of_the_paper(kind: str) -> None:
    spec, caps = TABLE[kind]
    sampler = spec.build(CONTEXT)
    assert (None if sampler.caps is None else sampler.caps.tolist()) == caps


@pytest.mark.parametrize("kind", TABLE)
def test_a_spec_survives_yaml_and_refuses_unknown_fields(kind: str) -> None:
    spec, _ = TABLE[kind]
    adapter: TypeAdapter[SamplerSpec] = TypeAdapter(SamplerSpec)
    assert adapter.validate_python(spec.model_dump()) == spec
    with pytest.raises(ValueError, match="extra"):
        adapter.validate_python({**spec.model_dump(), "thresold": 1})


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        ("dynamic_threshold", "alpha", value)
        for value in (0, -1, 1e300, 1_000_001, float("inf"), float("nan"), "1e300", ".nan")
    ]
    + [
        ("static_threshold", "tau", value)
        for value in (0, -1, 1.5, 1e300, 10**30, float("inf"), float("nan"), "1e300")
    ],
)
def test_a_threshold_that_is_no_cap_is_refused(kind: str, setting: str, value: object) -> None:
    adapter: TypeAdapter[SamplerSpec] = TypeAdapter(SamplerSpec)
    with pytest.raises(ValueError, match=setting):
        adapter.validate_python({"kind": kind, setting: value})


@pytest.mark.parametrize(
    "spec", [DynamicThresholdSpec(alpha=1_000_000), StaticThresholdSpec(tau=1_000_000_000)]
)
def test_the_largest_threshold_keeps_everything(spec: SamplerSpec) -> None:
    counts = np.array([10**9, 1])
    sampler = spec.build(SamplerContext(2, counts))
    assert not sampler.satisfied
    assert sampler.observe(np.array([0, 1, 0])).all()


def test_binary_fractions_cost_no_clip() -> None:
    assert 1.1 * 50 > 55
    sampler = DynamicThresholdSpec(alpha=1.1).build(SamplerContext(2, np.array([50, 100])))
    assert sampler.caps is not None
    assert sampler.caps.tolist() == [55, 110]


def test_the_smallest_alpha_keeps_one_clip_of_each_label_that_has_any() -> None:
    sampler = DynamicThresholdSpec(alpha=1e-300).build(CONTEXT)
    assert sampler.caps is not None
    assert sampler.caps.tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize("kind", TABLE)
def test_batches_decide_as_single_labels_do(kind: str) -> None:
    spec, _ = TABLE[kind]
    labels = np.random.default_rng(0).integers(0, 4, 100)
    together, one_by_one = spec.build(CONTEXT), spec.build(CONTEXT)
    single = [bool(one_by_one.observe(labels[i : i + 1])[0]) for i in range(100)]
    assert together.observe(labels).tolist() == single
    assert (together.kept == one_by_one.kept).all()


@pytest.mark.parametrize("kind", TABLE)
@pytest.mark.parametrize("labels", [[4], [-1], [0, 7]])
def test_a_label_that_the_victim_lacks_is_refused(kind: str, labels: list[int]) -> None:
    sampler = TABLE[kind][0].build(CONTEXT)
    with pytest.raises(ValueError, match="labels"):
        sampler.observe(np.array(labels))
    assert sampler.kept.sum() == 0


def test_dynamic_threshold_without_class_counts_says_how_to_grant_them() -> None:
    with pytest.raises(KnowledgeMissing, match=r"knowledge\.class_counts"):
        DynamicThresholdSpec(alpha=1).build(SamplerContext(4))


def algorithm_1(labels: Sequence[int], caps: Sequence[int] | None) -> list[bool]:
    """Lines 7 to 10 of the reconstruction, word for word."""
    counts: dict[int, int] = {}
    decisions = []
    for i in labels:
        keep = caps is None or counts.get(i, 0) < caps[i]
        if keep:
            counts[i] = counts.get(i, 0) + 1
        decisions.append(keep)
    return decisions


@given(st.data())
def test_any_batching_equals_algorithm_1(data: st.DataObject) -> None:
    k = data.draw(st.integers(1, 6))
    counts = np.array(data.draw(st.lists(st.integers(0, 5), min_size=k, max_size=k)))
    alpha = data.draw(st.floats(0.1, 3))
    tau = data.draw(st.integers(1, 5))
    choices: list[tuple[Sampler, list[int] | None]] = [
        (KeepAllSpec().build(SamplerContext(k)), None),
        (StaticThresholdSpec(tau=tau).build(SamplerContext(k)), [tau] * k),
        (
            DynamicThresholdSpec(alpha=alpha).build(SamplerContext(k, counts)),
            [ceil(alpha * c - 1e-9) for c in counts.tolist()],
        ),
    ]
    sampler, caps = data.draw(st.sampled_from(choices))
    batches = data.draw(st.lists(st.lists(st.integers(0, k - 1), max_size=7), max_size=8))
    decided: list[bool] = []
    for batch in batches:
        decided += sampler.observe(np.array(batch, dtype=np.int64)).tolist()
        so_far = [label for part in batches for label in part][: len(decided)]
        kept = [label for label, keep in zip(so_far, decided, strict=True) if keep]
        met = caps is not None and all(kept.count(i) >= caps[i] for i in range(k))
        assert sampler.satisfied == met
    assert decided == algorithm_1([label for batch in batches for label in batch], caps)
