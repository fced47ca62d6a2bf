import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.audio import from_npy
from shared.contract import JSON_MEDIA_TYPE, NPY_MEDIA_TYPE, ClassifyAnswer, LabelMode
from tests.support.rows import probability_rows
from victim_service.defences.temperature import temper
from victim_service.labels import encode, release
from victim_service.plans import Plan

NAMES = ["ann", "bob", "cid", "dee"]
ROWS = np.array([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]], dtype=np.float32)
MODES: list[dict[str, Any]] = [
    {"label_mode": "soft"},
    *({"label_mode": "top_k", "top_k": k} for k in (1, 3)),
    *({"label_mode": "rounded", "decimals": decimals} for decimals in (1, 2, 3, 6)),
    *({"label_mode": "temperature", "temperature": t} for t in (0.05, 0.5, 1, 2, 5, 100)),
]


def plan(mode: LabelMode, top_k: int | None = None, **fields: Any) -> Plan:
    return Plan(name="p", label_mode=mode, top_k=top_k, **fields)


def npy(mode: LabelMode, top_k: int | None = None, **fields: Any) -> np.ndarray:
    body = encode(release(ROWS, plan(mode, top_k, **fields)), NAMES, NPY_MEDIA_TYPE)
    return from_npy(body, max_bytes=10_000)


def answers(mode: LabelMode, top_k: int | None = None, **fields: Any) -> ClassifyAnswer:
    body = encode(release(ROWS, plan(mode, top_k, **fields)), NAMES, JSON_MEDIA_TYPE)
    return ClassifyAnswer.model_validate_json(body)


def test_soft_mode_releases_everything():
    array = npy("soft")
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, ROWS)
    answer = answers("soft").answers[0]
    assert (answer.label, answer.name, answer.top) == (3, "dee", None)
    np.testing.assert_allclose(answer.probabilities, ROWS[0])


def test_top_k_mode_withholds_the_rest():
    array = npy("top_k", 2)
    np.testing.assert_array_equal(array[0], np.array([0, 0, 0.3, 0.4], dtype=np.float32))
    answer = answers("top_k", 2).answers[0]
    assert [(score.label, score.name) for score in answer.top] == [(3, "dee"), (2, "cid")]
    assert answer.remainder == pytest.approx(0.3)
    assert answer.probabilities is None


def test_ties_go_to_the_smaller_label():
    np.testing.assert_array_equal(npy("top_k", 2)[1], np.array([0.25, 0.25, 0, 0], np.float32))
    assert [score.label for score in answers("top_k", 2).answers[1].top] == [0, 1]
    assert npy("hard").tolist() == [3, 0]


def test_more_than_k_labels_are_all_labels():
    np.testing.assert_array_equal(npy("top_k", 9), ROWS)
    assert len(answers("top_k", 9).answers[0].top) == 4


def test_hard_mode_releases_labels_only():
    array = npy("hard")
    assert (array.dtype, array.shape) == (np.int64, (2,))
    body = json.loads(encode(release(ROWS, plan("hard")), NAMES, JSON_MEDIA_TYPE))
    assert body["answers"] == [{"label": 3, "name": "dee"}, {"label": 0, "name": "ann"}]


def test_an_unknown_media_type_is_refused():
    with pytest.raises(ValueError, match="JSON or npy"):
        encode(release(ROWS, plan("soft")), NAMES, "text/html")


def test_rounded_mode_releases_few_decimals_that_sum_to_one():
    assert npy("rounded", decimals=1)[1].tolist() == pytest.approx([0.3, 0.3, 0.2, 0.2])
    answer = answers("rounded", decimals=1)
    assert answer.label_mode == "rounded"
    assert answer.answers[0].probabilities == [0.1, 0.2, 0.3, 0.4]  # exactly: no digits of float32
    assert (answer.answers[0].label, answer.answers[0].top) == (3, None)


def test_temperature_mode_is_the_softmax_of_scaled_logits():
    logits = np.random.default_rng(0).normal(0, 6, (5, 40))

    def softmax(scaled: np.ndarray) -> np.ndarray:
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        rows: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
        return rows

    rows = softmax(logits).astype(np.float32)
    for temperature in (0.5, 2, 5):
        np.testing.assert_allclose(temper(rows, temperature), softmax(logits / temperature), 1e-4)
    probabilities = answers("temperature", temperature=2.0).answers[0].probabilities
    roots = np.sqrt(ROWS[0])
    np.testing.assert_allclose(probabilities, roots / roots.sum(), rtol=1e-5)


@given(rows=probability_rows())
@settings(max_examples=60, deadline=None)
def test_temperature_one_is_the_identity(rows: np.ndarray) -> None:
    np.testing.assert_array_equal(temper(rows, 1.0), rows)
    np.testing.assert_allclose(temper(rows, 1.0 + 1e-9), rows, rtol=1e-5, atol=1e-7)


@given(rows=probability_rows(), fields=st.sampled_from(MODES))
@example(rows=np.array([[0.33333331, 0.33333334, 0.33333334]], np.float32), fields=MODES[-1])
@example(rows=np.array([[0.41, 0.42, 0.17]], np.float32), fields=MODES[3])
@settings(max_examples=300, deadline=None)
def test_every_mode_keeps_the_label_and_the_simplex(
    rows: np.ndarray, fields: dict[str, Any]
) -> None:
    before = rows.copy()
    released = release(rows, Plan(name="p", **fields))
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_array_equal(released.labels, rows.argmax(axis=1))
    shown = released.probabilities
    assert shown is not None
    assert (shown.dtype, shown.shape) == (np.float32, rows.shape)
    np.testing.assert_array_equal(shown.argmax(axis=1), released.labels)
    assert shown.min() >= 0
    sums = shown.sum(axis=1, dtype=np.float64)
    assert sums.max() <= 1 + 1e-6
    if fields["label_mode"] != "top_k":
        assert sums.min() >= 1 - 1e-6


@given(rows=probability_rows(), fields=st.sampled_from(MODES))
@settings(max_examples=60, deadline=None)
def test_a_batch_is_released_as_its_clips_alone(rows: np.ndarray, fields: dict[str, Any]) -> None:
    terms = Plan(name="p", **fields)
    together = release(rows, terms).probabilities
    alone = [release(row[np.newaxis], terms).probabilities for row in rows]
    np.testing.assert_array_equal(together, np.concatenate(alone))
