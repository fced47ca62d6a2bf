"""What every defence of the table must keep, and what each spec says of itself, over all rows."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from shared.config import validate
from tests.support.defence_examples import EXAMPLES
from tests.support.rows import KINDS, make_row
from victim_service.defences import DEFENCES, Asked, DefenceSpec, defend

CLASSES = (2, 3, 10, 250, 1251)
ASKED = Asked(b"s" * 32, "alice", "c" * 64, "soft", 1)
SPECS = [spec for specs in EXAMPLES.values() for spec in specs]
ROUNDING = 3e-6
"""What float32 may round off the sum of a row, twice, and of a distance."""


def name(spec: DefenceSpec) -> str:
    settings = spec.model_dump(exclude={"kind"}, exclude_defaults=True)
    return ",".join([spec.kind, *(f"{key}={value}" for key, value in settings.items())])


def rows_of(classes: int, seed: int = 0, each: int = 2) -> np.ndarray:
    """Rows (B, K) of every kind: one-hot, uniform, tied, sharp, flat and tiny."""
    rng = np.random.default_rng(seed)
    rows = [make_row(kind, classes, rng) for kind in KINDS for _ in range(each)]
    return np.stack(rows).astype(np.float32)


def clips_for(rows: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (len(rows), 16)).astype(np.float32)


def test_every_row_of_the_table_has_an_example():
    assert set(EXAMPLES) == set(DEFENCES)
    for kind, specs in EXAMPLES.items():
        assert {type(spec) for spec in specs} == {DEFENCES[kind]}


every_spec = pytest.mark.parametrize("spec", SPECS, ids=name)


@every_spec
@pytest.mark.parametrize("classes", CLASSES)
def test_rows_stay_on_the_simplex_and_keep_what_is_promised(spec, classes):
    rows = rows_of(classes)
    before, clips = rows.copy(), clips_for(rows)
    defended = defend(rows, clips, (spec,), ASKED)
    np.testing.assert_array_equal(rows, before)
    assert (defended.shape, defended.dtype) == (rows.shape, np.float32)
    assert defended.min() >= 0
    wide = defended.astype(np.float64)
    assert np.abs(wide.sum(axis=1) - 1).max() <= 1e-6
    if spec.l1_bound is not None:
        assert 0 < spec.l1_bound <= 2
        assert np.abs(wide - rows).sum(axis=1).max() <= spec.l1_bound + ROUNDING
    if spec.argmax_kept:
        np.testing.assert_array_equal(defended.argmax(axis=1), rows.argmax(axis=1))


@every_spec
@pytest.mark.parametrize("classes", CLASSES)
def test_a_batch_is_its_clips_alone_bit_for_bit(spec, classes):
    rows = rows_of(classes, seed=1, each=3)  # more than a block of those that work in blocks
    clips = clips_for(rows)
    together = defend(rows, clips, (spec,), ASKED)
    alone = [defend(rows[n : n + 1], clips[n : n + 1], (spec,), ASKED) for n in range(len(rows))]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    backwards = defend(rows[::-1], clips[::-1], (spec,), ASKED)
    np.testing.assert_array_equal(together, backwards[::-1])


@every_spec
@pytest.mark.parametrize("classes", CLASSES)
def test_the_order_of_the_labels_means_nothing_to_what_draws_nothing(spec, classes):
    if spec.draws:
        return  # each label has its own draw
    rng = np.random.default_rng(2)
    rows = np.stack(
        [make_row(kind, classes, rng) for kind in ("sharp", "flat", "tiny") for _ in range(8)]
    ).astype(np.float32)
    untied = rows[[len(np.unique(row)) == classes for row in rows]]
    assert len(untied) > 0
    order, clips = rng.permutation(classes), clips_for(untied)
    defended = defend(untied, clips, (spec,), ASKED)
    moved = defend(np.ascontiguousarray(untied[:, order]), clips, (spec,), ASKED)
    np.testing.assert_allclose(moved, defended[:, order], rtol=0, atol=1e-6)


@every_spec
def test_who_asks_again_learns_nothing_and_another_account_only_what_is_drawn(spec):
    rows = np.random.default_rng(3).dirichlet(np.full(10, 5.0), 64).astype(np.float32)
    clips = clips_for(rows)
    first = defend(rows, clips, (spec,), ASKED)
    for _ in range(3):
        np.testing.assert_array_equal(defend(rows, clips, (spec,), replace(ASKED)), first)
    changes = [
        (clips, replace(ASKED, account="bob")),
        (clips_for(rows, seed=1), ASKED),  # other clips with the same probabilities
    ]
    for asked_with, asked in changes:
        other = defend(rows, asked_with, (spec,), asked)
        assert (other != first).any() == spec.draws


@every_spec
def test_a_spec_is_read_as_it_is_written(spec):
    for mode in ("json", "python"):
        document = spec.model_dump(mode=mode)
        assert validate(document, type(spec), origin="p") == spec
    for field in type(spec).model_fields:
        assert yaml.safe_load(field) == field  # unlike `on`, which YAML reads as true


@every_spec
def test_a_flag_is_raised_where_it_can_be(spec):
    """A spec that promises no label does change one: there is nothing left to promise."""
    if not spec.argmax_kept:
        rows = np.random.default_rng(4).dirichlet(np.full(20, 0.3), 300).astype(np.float32)
        defended = defend(rows, clips_for(rows), (spec,), ASKED)
        assert (defended.argmax(axis=1) != rows.argmax(axis=1)).any()
