import math

from hypothesis import given
from hypothesis import strategies as st

from victim_service.ledger.gcra import decide, units_left

rates = st.floats(0.1, 5000)
bursts = st.integers(1, 500)


def test_a_fresh_subject_may_take_its_whole_burst_and_then_nothing():
    first = decide(0.0, 1000.0, 10, per_s=5, burst=10)
    assert first.allowed
    again = decide(first.arrival_s, 1000.0, 1, per_s=5, burst=10)
    assert not again.allowed
    assert again.arrival_s == first.arrival_s
    assert math.isclose(again.retry_after_s, 0.2)


def test_it_refills_at_the_rate():
    state = decide(0.0, 1000.0, 10, per_s=5, burst=10).arrival_s
    assert units_left(state, 1000.0, 5, 10) == 0
    assert units_left(state, 1001.0, 5, 10) == 5
    assert units_left(state, 1999.0, 5, 10) == 10


@given(rates, bursts, st.lists(st.tuples(st.floats(0, 3), st.integers(1, 600)), max_size=60))
def test_no_window_grants_more_than_burst_plus_rate(per_s, burst, attempts):
    now, arrival, granted = 1_000_000.0, 0.0, 0
    start = now
    for wait_s, cost in attempts:
        now += wait_s
        if cost <= burst:
            decision = decide(arrival, now, cost, per_s, burst)
            granted += cost if decision.allowed else 0
            arrival = decision.arrival_s
    assert granted <= burst + per_s * (now - start) + 0.01 * (1 + len(attempts))


@given(rates, bursts, st.floats(0, 1000), st.data())
def test_a_client_that_obeys_the_wait_is_let_in(per_s, burst, busy_s, data):
    now = 1_800_000_000.0
    cost = data.draw(st.integers(1, burst))
    arrival = now + min(busy_s, burst / per_s)
    refused = decide(arrival, now, cost, per_s, burst)
    if not refused.allowed:
        later = now + math.ceil(refused.retry_after_s)
        assert decide(arrival, later, cost, per_s, burst).allowed


@given(rates, bursts, st.floats(0, 1000))
def test_units_left_are_exactly_what_would_be_granted(per_s, burst, busy_s):
    now = 1_800_000_000.0
    arrival = now + busy_s
    left = units_left(arrival, now, per_s, burst)
    assert 0 <= left <= burst
    if left:
        assert decide(arrival, now + 1e-5, left, per_s, burst).allowed
