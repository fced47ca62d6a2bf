"""Student's intervals: against the printed table of t, and against what they should cover."""

import numpy as np
import pytest

from attacker.lab.spread import Spread, clipped, spread, t_quantile


@pytest.mark.parametrize(
    ("freedom", "printed"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (10, 2.228),
     (29, 2.045), (100, 1.984), (1000, 1.962)],
)  # fmt: skip
def test_t_is_that_of_the_printed_table(freedom: int, printed: float) -> None:
    assert t_quantile(freedom) == pytest.approx(printed, abs=6e-4)


def test_another_confidence_has_another_t() -> None:
    assert t_quantile(2, 0.99) == pytest.approx(9.925, abs=6e-4)
    assert t_quantile(3, 0.5) == pytest.approx(0.765, abs=6e-4)


def test_no_degree_of_freedom_is_refused() -> None:
    with pytest.raises(ValueError, match="Run another seed"):
        t_quantile(0)


def test_an_interval_by_hand() -> None:
    found = spread([0.5, 0.6, 0.7])
    assert found is not None
    reach = 4.3027 * 0.1 / 3**0.5
    assert (found.mean, found.n) == (pytest.approx(0.6), 3)
    assert found.interval == (
        pytest.approx(0.6 - reach, abs=1e-4),
        pytest.approx(0.6 + reach, 1e-4),
    )


def test_one_seed_has_no_interval_and_none_no_mean() -> None:
    assert spread([]) is None
    found = spread([0.25])
    assert found == Spread(mean=0.25, low=None, high=None, n=1)
    assert found is not None
    assert found.interval is None


def test_equal_seeds_have_an_interval_of_no_width() -> None:
    found = spread([0.1] * 7)
    assert found is not None
    assert found.low == found.high == found.mean == 0.1


def test_nineteen_of_twenty_intervals_hold_the_mean() -> None:
    rng = np.random.default_rng(1)
    found = [spread(rng.normal(0.4, 0.05, 3).tolist()) for _ in range(4000)]
    ends = [one.interval for one in found if one is not None and one.interval is not None]
    held = np.mean([low <= 0.4 <= high for low, high in ends])
    assert 0.94 < held < 0.96


def test_a_share_is_cut_to_what_a_share_can_be() -> None:
    found = clipped(Spread(mean=0.9, low=-0.2, high=1.3, n=3))
    assert found.interval == (0.0, 1.0)
    single = Spread(mean=0.9, low=None, high=None, n=1)
    assert clipped(single) == single
