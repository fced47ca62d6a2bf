"""A budget among accounts: equal shares, each bought to the clip by whatever batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacker.dealing import Dealer, Spread, shares

SPREADS: list[Spread] = ["in_turn", "contiguous"]


@given(st.integers(1, 10_000), st.integers(1, 64))
def test_shares_are_the_budget_and_equal_but_for_a_clip(budget: int, accounts: int) -> None:
    found = shares(budget, accounts)
    assert (len(found), sum(found)) == (accounts, budget)
    assert max(found) - min(found) <= 1


@given(st.integers(1, 500), st.integers(1, 9), st.sampled_from(SPREADS), st.integers(0, 2**32 - 1))
def test_every_account_buys_its_share_whatever_the_batches_and_the_crashes(
    budget: int, accounts: int, spread: Spread, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    dealt: list[tuple[int, int]] = []
    dealer = Dealer(budget, accounts, spread)
    while (done := sum(clips for _, clips in dealt)) < budget:
        if rng.random() < 0.2:  # a crash: what was planned is all that is known
            dealer = Dealer(budget, accounts, spread, dealt)
        dealt.append(dealer.deal(min(int(rng.integers(1, 40)), budget - done)))
    assert all(clips > 0 for _, clips in dealt)
    bought = [sum(c for number, c in dealt if number == n) for n in range(accounts)]
    assert tuple(bought) == shares(budget, accounts)


@pytest.mark.parametrize(
    ("spread", "order"),
    [("in_turn", [0, 1, 2, 0, 1, 2, 0, 1, 2]), ("contiguous", [0, 0, 0, 1, 1, 1, 2, 2, 2])],
)
def test_the_order_is_what_its_name_says(spread: Spread, order: list[int]) -> None:
    dealer = Dealer(90, 3, spread)
    assert [dealer.deal(10) for _ in order] == [(number, 10) for number in order]


@pytest.mark.parametrize("spread", SPREADS)
def test_what_another_way_dealt_is_gone_on_with(spread: Spread) -> None:
    dealer = Dealer(30, 3, spread, [(0, 16), (1, 2)])  # one account had more than its share
    dealt = [dealer.deal(4) for _ in range(3)]
    assert {number for number, _ in dealt} <= {1, 2}
    assert sum(clips for _, clips in dealt) <= 12


@pytest.mark.parametrize("spread", SPREADS)
def test_a_refused_batch_passes_to_who_can_buy_all_of_it(spread: Spread) -> None:
    dealer = Dealer(30, 3, spread, [(1, 7)])
    assert dealer.deal(4) == (0, 4)
    dealer.refuse(0)
    assert dealer.pass_on(4) == (2, 4), "account 1 has three clips left"
    # Nothing more for 0, though it has its whole share; 1 and 2 buy theirs to the clip.
    dealt = []
    while dealer.left:
        dealt.append(dealer.deal(4))
    assert {number for number, _ in dealt} == {1, 2}
    assert sum(clips for number, clips in dealt if number == 1) == 3
    assert sum(clips for number, clips in dealt if number == 2) == 6


@pytest.mark.parametrize("spread", SPREADS)
def test_a_refused_batch_that_nobody_can_buy_whole_passes_in_parts(spread: Spread) -> None:
    dealer = Dealer(30, 3, spread, [(1, 7), (2, 8)])
    assert dealer.deal(9) == (0, 9)
    dealer.refuse(0)
    assert dealer.pass_on(9) == (1, 3)
    assert dealer.pass_on(6) == (2, 2)
    assert dealer.pass_on(4) is None


def test_nobody_is_left_where_all_are_refused() -> None:
    dealer = Dealer(30, 2, "in_turn")
    dealer.deal(5)
    dealer.refuse(0)
    assert dealer.pass_on(5) == (1, 5)
    dealer.refuse(1)
    assert dealer.pass_on(5) is None
    assert not dealer.left


def test_a_share_that_was_refused_waits_for_its_account() -> None:
    dealt = [(0, 5), (1, 15)]
    assert Dealer(30, 2, "contiguous", dealt).deal(50) == (0, 10)
