"""The table that turns a known defence back, against closed forms."""

import numpy as np
import pytest
from pydantic import ValidationError

from attacker.adaptive import AdaptionContext
from attacker.adaptive.dirichlet import Pairs, draw_pairs, draw_rows
from attacker.adaptive.groups import mean_of_ties
from attacker.adaptive.inversion import InversionSpec, look_up
from attacker.known_defences import KnownDefence
from attacker.known_defences.reverse_sigmoid import KnownReverseSigmoid
from attacker.known_defences.rounding import KnownRounding
from attacker.known_defences.temperature import KnownTemperature


def inverted(
    clean: np.ndarray, known: KnownDefence, spec: InversionSpec, seed: int = 0
) -> np.ndarray:
    shown = known.defend(clean).astype(np.float32)
    return spec.build(AdaptionContext(seed, known_defence=known)).adapt(shown)


def clean_rows(classes: int, count: int = 50) -> np.ndarray:
    return draw_rows(count, classes, (2.0, 8.0), np.random.default_rng(9))


def test_a_temperature_is_turned_back_to_a_hundredth() -> None:
    clean, known = clean_rows(3), KnownTemperature(temperature=2)
    found = inverted(clean, known, InversionSpec(rows=100_000))
    assert np.abs(known.defend(clean) - clean).max() > 0.1
    assert np.abs(found - clean).max() < 1e-2


@pytest.mark.parametrize(
    ("known", "share"),
    [
        (KnownTemperature(temperature=3), 0.2),
        (KnownReverseSigmoid(beta=0.3, gamma=0.3), 0.4),
        (KnownRounding(decimals=1), 0.9),  # what was rounded off is gone: a prior guesses at it
    ],
    ids=["temperature", "reverse_sigmoid", "rounding"],
)
def test_what_is_found_is_nearer_to_the_model_than_what_was_shown(
    known: KnownDefence, share: float
) -> None:
    clean = clean_rows(6, 200)
    found = inverted(clean, known, InversionSpec(rows=20_000, tolerance=0.03))
    shown = known.defend(clean)
    errors = [np.abs(rows - clean).sum(axis=1).mean() for rows in (shown, found)]
    assert errors[1] < share * errors[0]


def test_of_what_was_rounded_off_the_expectation_is_left() -> None:
    """Of two labels with a flat prior, all in [0.95, 1] are shown as 1."""
    known = KnownRounding(decimals=1)
    rows = np.linspace(0.951, 0.999, 20)[:, np.newaxis]
    found = inverted(np.hstack([rows, 1 - rows]), known, InversionSpec(concentration=(2, 2)))
    assert found[:, 0] == pytest.approx(0.975, abs=0.003)


def test_labels_are_alike_and_equal_answers_are_told_alike() -> None:
    known = KnownTemperature(temperature=2)
    spec = InversionSpec(rows=2_000)
    clean = clean_rows(5)
    order = np.array([3, 0, 4, 1, 2])
    assert inverted(clean[:, order], known, spec) == pytest.approx(
        inverted(clean, known, spec)[:, order]
    )
    (twins,) = inverted(np.array([[0.6, 0.1, 0.1, 0.1, 0.1]]), known, spec)
    assert len(set(twins[1:].tolist())) == 1
    assert twins[0] > twins[1]


def test_seeds_draw_tables_of_their_own() -> None:
    clean, known, spec = clean_rows(4), KnownTemperature(temperature=2), InversionSpec(rows=2_000)
    assert np.array_equal(inverted(clean, known, spec, 1), inverted(clean, known, spec, 1))
    assert not np.array_equal(inverted(clean, known, spec, 1), inverted(clean, known, spec, 2))


def test_near_rows_are_averaged_over_all_blocks_and_the_nearest_helps_out() -> None:
    blocks = [
        Pairs(np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([[0.7, 0.3], [0.6, 0.4]])),
        Pairs(np.array([[0.8, 0.2]]), np.array([[0.705, 0.295]])),
    ]
    answers = np.array([[0.702, 0.298], [0.55, 0.45], [0.95, 0.05]])
    found = look_up(answers, blocks, 0.01)
    assert found == pytest.approx(np.array([[0.85, 0.15], [0.5, 0.5], [0.8, 0.2]]))


def test_ties_share_their_mean() -> None:
    rows = np.array([[0.5, 0.3, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1]])
    ordered = np.array([[0.5, 0.25, 0.25, 0.0], [0.25, 0.25, 0.25, 0.25]])
    shared = np.array([[0.5, 0.2, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25]])
    assert mean_of_ties(rows, ordered) == pytest.approx(shared)


@pytest.mark.parametrize(("classes", "flat"), [(2, 0.51), (1251, 0.2)])
def test_the_prior_reaches_from_sure_to_flat_rows(classes: int, flat: float) -> None:
    rows = draw_rows(500, classes, (0.1, 30.0), np.random.default_rng(0))
    assert rows.sum(axis=1) == pytest.approx(1)
    assert np.isfinite(rows).all()
    assert rows.max() > 0.99
    assert rows.max(axis=1).min() < flat


def test_a_dirichlet_has_the_moments_of_its_concentration() -> None:
    rows = draw_rows(20_000, 5, (4.0, 4.0), np.random.default_rng(0))
    assert rows.mean(axis=0) == pytest.approx(0.2, abs=0.01)
    assert rows.var(axis=0) == pytest.approx(0.2 * 0.8 / 5, rel=0.05)


def test_pairs_are_ordered_by_what_is_shown() -> None:
    known = KnownReverseSigmoid(beta=2, gamma=1)  # turns the order of some around
    (pairs,) = draw_pairs(known, 4, 100, (0.5, 5.0), np.random.default_rng(0))
    assert (np.diff(pairs.defended, axis=1) <= 0).all()
    assert (np.diff(pairs.clean, axis=1) > 0).any()
    assert known.defend(pairs.clean) == pytest.approx(pairs.defended)


@pytest.mark.parametrize("wrong", [{"rows": 10}, {"tolerance": 0}, {"concentration": (3, 1)}])
def test_settings_that_make_no_table_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        InversionSpec.model_validate({"kind": "inversion", **wrong})
