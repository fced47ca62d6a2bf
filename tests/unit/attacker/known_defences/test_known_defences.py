"""Known defences: one row each; each keeps the promises of the base class and its closed form."""

import numpy as np
import pytest

from attacker.known_defences import KNOWN_DEFENCES, KnownDefence
from attacker.known_defences.base import to_scale
from attacker.known_defences.reverse_sigmoid import KnownReverseSigmoid
from attacker.known_defences.rounding import KnownRounding
from attacker.known_defences.temperature import KnownTemperature

TABLE: list[KnownDefence] = [
    KnownRounding(decimals=2),
    KnownTemperature(temperature=2),
    KnownReverseSigmoid(beta=0.3, gamma=0.2),
]


def test_every_known_defence_has_a_row() -> None:
    assert [known.kind for known in TABLE] == list(KNOWN_DEFENCES)


@pytest.mark.parametrize("known", TABLE, ids=lambda known: known.kind)
@pytest.mark.parametrize("classes", [2, 10, 1251])
def test_rows_stay_on_the_simplex_and_labels_are_alike(known: KnownDefence, classes: int) -> None:
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.full(classes, 0.3), 20)
    rows[0], rows[1] = np.eye(classes)[0], 1 / classes
    shown = known.defend(rows)
    assert (shown >= 0).all()
    assert shown.sum(axis=1) == pytest.approx(1)
    order = rng.permutation(classes)
    assert known.defend(rows[:, order]) == pytest.approx(shown[:, order])
    assert known.defend(rows[3:4]) == pytest.approx(shown[3:4])


def test_rounding_by_hand() -> None:
    shown = KnownRounding(decimals=1).defend(np.array([[0.58, 0.33, 0.09], [0.04, 0.04, 0.92]]))
    assert shown == pytest.approx(np.array([[0.6, 0.3, 0.1], [0, 0, 1]]))


def test_temperature_by_hand() -> None:
    shown = KnownTemperature(temperature=2).defend(np.array([[0.64, 0.36]]))
    assert shown == pytest.approx(np.array([[0.8, 0.6]]) / 1.4)
    sure = KnownTemperature(temperature=2).defend(np.array([[1.0, 0.0]]))
    assert sure.tolist() == [[1, 0]]


def test_reverse_sigmoid_of_two_labels() -> None:
    """The curve is odd around 1/2, so that two labels sum to 1 before they are scaled."""
    p, beta, gamma = 0.8, 0.4, 0.5
    sigmoid = 1 / (1 + np.exp(-gamma * np.log(p / (1 - p))))
    shown = KnownReverseSigmoid(beta=beta, gamma=gamma).defend(np.array([[p, 1 - p]]))
    assert shown[0, 0] == pytest.approx(p - beta * (sigmoid - 0.5))


@pytest.mark.filterwarnings("error")
def test_what_overflows_is_its_limit() -> None:
    shown = KnownReverseSigmoid(beta=1, gamma=100).defend(np.array([[1.0, 0.0, 0.0]]))
    assert shown == pytest.approx(np.array([[1, 1, 1]]) / 3)


def test_rows_of_zeros_become_even() -> None:
    assert to_scale(np.array([[0.0, 0.0], [1.0, 3.0]])).tolist() == [[0.5, 0.5], [0.25, 0.75]]
