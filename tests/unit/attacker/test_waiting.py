"""Durations and waits, in words."""

import time

import pytest

from attacker.waiting import show_duration, show_wait


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (8.4, "8 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_durations_read_as_people_say_them(seconds: float, said: str) -> None:
    assert show_duration(seconds) == said


def test_a_wait_says_until_when() -> None:
    now = time.mktime((2026, 11, 26, 12, 0, 0, 0, 0, -1))
    assert show_wait(51_840, now) == "14 h 24 min, until 2026-11-27 02:24:00"
    assert show_wait(0).startswith("0 s, until 2")
