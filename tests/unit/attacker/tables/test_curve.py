"""The curve of caps: what a campaign with other caps would have kept."""

import numpy as np
import pytest

from attacker.campaign import iteration_ends
from attacker.samplers import SamplerContext
from attacker.samplers.static_threshold import StaticThresholdSpec
from attacker.tables.curve import replay

K = 3


def kept(labels: list[int], tau: int, ends: list[int]) -> tuple[int, int, int]:
    sampler = StaticThresholdSpec(tau=tau).build(SamplerContext(K))
    return replay(np.array(labels), sampler, ends)


def test_a_cap_bounds_the_volume_and_one_answer_makes_the_coverage() -> None:
    labels = [0, 0, 0, 1, 0, 0]
    assert kept(labels, 1, [6]) == (6, 2, 2)
    assert kept(labels, 2, [6]) == (6, 3, 2)
    assert kept(labels, 9, [6]) == (6, 6, 2)


def test_fewer_iterations_meet_fewer_answers() -> None:
    labels = [0, 0, 1, 2]
    assert kept(labels, 9, iteration_ends(4, 2)[:1]) == (2, 2, 1)
    assert kept(labels, 9, iteration_ends(4, 2)) == (4, 4, 3)


def test_it_stops_between_iterations_when_every_cap_is_met() -> None:
    labels = [0, 1, 2, 0, 1, 2]
    assert kept(labels, 1, [3, 6]) == (3, 3, 3)
    assert kept(labels, 1, [2, 6]) == (6, 3, 3)  # never within one


def test_a_row_that_ended_early_has_no_more_to_show() -> None:
    assert kept([0, 1], 9, [2, 4, 6]) == (2, 2, 2)


@pytest.mark.parametrize("tau", [1, 3])
def test_it_agrees_with_a_sampler_that_was_there(tau: int) -> None:
    labels = np.random.default_rng(0).integers(0, K, 50)
    sampler = StaticThresholdSpec(tau=tau).build(SamplerContext(K))
    there = sum(int(sampler.observe(part).sum()) for part in np.split(labels, 10))
    assert kept(labels.tolist(), tau, [50])[1] == there
