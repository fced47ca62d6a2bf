"""What an attacker takes a known defence to do is what the victim does, as far as it says so."""

import numpy as np
import pytest

from attacker.known_defences.reverse_sigmoid import KnownReverseSigmoid
from attacker.known_defences.rounding import KnownRounding
from attacker.known_defences.temperature import KnownTemperature
from victim_service.defences.reverse_sigmoid import bend
from victim_service.defences.rounding import round_rows
from victim_service.defences.temperature import temper


@pytest.fixture(params=[2, 10, 250])
def rows(request: pytest.FixtureRequest) -> np.ndarray:
    """Return rows that a model might answer, sure and unsure ones."""
    rng = np.random.default_rng(0)
    drawn = [rng.dirichlet(np.full(request.param, level), 40) for level in (0.02, 0.2, 2)]
    return np.concatenate(drawn).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("temperature", [0.5, 2.0, 5.0])
def test_temperature(rows: np.ndarray, temperature: float) -> None:
    told = temper(rows.astype(np.float32), temperature)
    assert KnownTemperature(temperature=temperature).defend(rows) == pytest.approx(told, abs=1e-5)


@pytest.mark.parametrize(("beta", "gamma"), [(0.3, 0.2), (0.01, 0.2), (1.0, 1.0)])
def test_reverse_sigmoid(rows: np.ndarray, beta: float, gamma: float) -> None:
    known = KnownReverseSigmoid(beta=beta, gamma=gamma)
    assert known.defend(rows) == pytest.approx(bend(rows, beta, gamma), abs=1e-5)


@pytest.mark.parametrize("decimals", [2, 4])
def test_rounding_but_for_what_makes_rows_sum_to_one(rows: np.ndarray, decimals: int) -> None:
    known = KnownRounding(decimals=decimals).defend(rows)
    told = round_rows(rows.astype(np.float32), decimals)
    if rows.shape[1] <= 10:
        assert np.abs(known - told).max() <= 3 * 10.0**-decimals
    assert (np.abs(known - told) <= 1.5 * 10.0**-decimals).mean() > 0.95
