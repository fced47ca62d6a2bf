"""Shapiro and Wilk's W: how much a sample looks as if it came from a normal law."""

from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

FEWEST, MOST = 12, 2000


def shapiro_wilk(sample: npt.NDArray[np.float64]) -> float:
    """Return W of ``sample`` (N,), from 0 to 1; 1 is as normal as can be, and so is a constant.

    Reference: Royston, "Remark AS R94", Applied Statistics 44 (1995), whose approximation to the
    weights this is.

    Raises:
        ValueError: N is below 12 or above 2,000, where the approximation is not trusted here.
    """
    count = len(sample)
    if not FEWEST <= count <= MOST:
        raise ValueError(f"{count} values: W is for {FEWEST} to {MOST}. Take another sample.")
    ordered = np.sort(sample)
    centred = ordered - ordered.mean()
    spread = float((centred**2).sum())
    if spread <= 1e-12 * max(1.0, float(np.abs(ordered).max()) ** 2):
        return 1.0
    return min(1.0, float((_weights(count) * centred).sum()) ** 2 / spread)


@lru_cache(maxsize=64)
def _weights(count: int) -> npt.NDArray[np.float64]:
    law = NormalDist()
    m: npt.NDArray[np.float64] = np.array(
        [law.inv_cdf((n - 0.375) / (count + 0.25)) for n in range(1, count + 1)]
    )
    total = float((m**2).sum())
    u = count**-0.5
    last = np.polyval([-2.706056, 4.434685, -2.071190, -0.147981, 0.221157, 0.0], u)
    before = np.polyval([-3.582633, 5.682633, -1.752461, -0.293762, 0.042981, 0.0], u)
    last += m[-1] / total**0.5
    before += m[-2] / total**0.5
    rest = total - 2 * m[-1] ** 2 - 2 * m[-2] ** 2
    weights: npt.NDArray[np.float64] = m / np.sqrt(rest / (1 - 2 * last**2 - 2 * before**2))
    weights[-1], weights[-2], weights[0], weights[1] = last, before, -last, -before
    return weights
