"""Money: what units cost, as a function of how many were bought."""

from collections.abc import Sequence
from itertools import pairwise

from pydantic import ConfigDict, Field

from shared.config import Frozen


class PriceTier(Frozen):
    """Price of the units after the first ``from``, up to the next tier."""

    model_config = ConfigDict(strict=True, serialize_by_alias=True)

    after: int = Field(alias="from", ge=1, le=2**53)
    """Written ``from`` in a plan."""
    price: float = Field(ge=0, le=1e9, allow_inf_nan=False)


def check_tiers(tiers: Sequence[PriceTier]) -> None:
    """Return when the tiers follow each other.

    Raises:
        ValueError: one does not start after the one before.
    """
    for before, tier in pairwise(tiers):
        if tier.after <= before.after:
            raise ValueError(
                f"price_tiers: from {tier.after} follows from {before.after}. Write the tiers in "
                "the order of growing `from`"
            )


def money(units: int, price: float, tiers: Sequence[PriceTier] = ()) -> float:
    """Return what the first ``units`` units cost together: ``price`` each, then by tier."""
    starts = [0, *(tier.after for tier in tiers)]
    ends = [*(tier.after for tier in tiers), units]
    prices = [price, *(tier.price for tier in tiers)]
    return sum(
        max(0, min(units, end) - start) * each
        for start, end, each in zip(starts, ends, prices, strict=True)
    )
