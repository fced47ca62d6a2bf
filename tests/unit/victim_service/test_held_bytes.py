import pytest

from victim_service.errors import Refusal
from victim_service.held_bytes import HeldBytes


def test_bytes_are_let_go_at_the_end_of_the_block_whatever_ends_it():
    held = HeldBytes(100)
    with held.hold() as hold:
        hold.add(60)
        hold.add(40)
        assert held.held == 100
    assert held.held == 0
    with pytest.raises(Refusal, match="queue-full"), held.hold() as hold:
        hold.add(101)
    assert held.held == 0


def test_more_than_may_be_held_together_is_refused_and_not_counted():
    held = HeldBytes(100)
    with held.hold() as first, held.hold() as second:
        first.add(70)
        second.add(30)
        with pytest.raises(Refusal, match="queue-full") as refused:
            second.add(1)
        assert refused.value.headers == {"Connection": "close"}
        assert held.held == 100
    assert held.held == 0
