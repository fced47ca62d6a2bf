"""The meter of accounts: what it counts, forgets and holds at most."""

import numpy as np
import pytest

from shared.errors import PROBLEMS
from victim_service.watch import Watch


class Clock:
    def __init__(self):
        self.now_s = 5000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def test_a_steady_rate_is_measured(clock):
    watch = Watch(clock)
    for _ in range(300):
        clock.now_s += 0.1
        watch.answered("alice", 7)
    assert watch.clips_per_s("alice") == pytest.approx(70, rel=0.06)
    assert watch.clips_per_s("nobody") == 0


def test_a_young_service_divides_by_its_age(clock):
    watch = Watch(clock)
    clock.now_s += 2
    watch.answered("alice", 100)
    assert watch.clips_per_s("alice") == pytest.approx(50)


def test_what_is_older_than_ten_seconds_is_forgotten(clock):
    watch = Watch(clock)
    clock.now_s += 100
    watch.answered("alice", 500)
    clock.now_s += 9
    assert watch.clips_per_s("alice") == pytest.approx(50)
    clock.now_s += 1.5
    assert watch.clips_per_s("alice") == 0


def test_the_rate_is_that_of_a_plain_count(clock):
    rng = np.random.default_rng(3)
    watch = Watch(clock)
    sent = []
    for _ in range(2000):
        clock.now_s += rng.exponential(0.05)
        clips = int(rng.integers(1, 65))
        watch.answered("alice", clips)
        sent.append((clock.now_s, clips))
    counted = sum(clips for at, clips in sent if at > clock.now_s - 10) / 10
    assert watch.clips_per_s("alice") == pytest.approx(counted, rel=0.06)


def test_refusals_are_counted_by_code_since_the_start(clock):
    watch = Watch(clock)
    for code in ("rate-limited", "too-large", "rate-limited", "client-gone", "anything"):
        watch.refused("alice", code)
        clock.now_s += 60
    assert list(watch.refusals("alice").items()) == [("rate-limited", 2), ("too-large", 1)]
    assert watch.refusals("bob") == {}


def test_memory_is_bounded(clock):
    watch = Watch(clock, max_accounts=10)
    for number in range(500):
        clock.now_s += 0.01
        watch.answered("alice", 1)
        watch.answered(f"account-{number}", 1)
    assert len(watch._seen) == 10
    assert watch.clips_per_s("alice") > 0  # seen last, it stays
    for _ in range(10_000):
        clock.now_s += 0.5
        watch.answered("alice", 1)
        for code in PROBLEMS:
            watch.refused("alice", code)
    seen = watch._seen["alice"]
    assert len(seen.slices) <= 21
    assert len(seen.refusals) == len(PROBLEMS)


def test_labels_are_counted_once_each(clock):
    watch = Watch(clock)
    watch.answered("alice", 3, [1, 1, 4])
    watch.answered("alice", 2, [4, 0])
    watch.answered("bob", 1)
    assert [watch.labels_seen(name) for name in ("alice", "bob", "nobody")] == [3, 0, 0]
