import math

import numpy as np
import pytest
import torch

from shared.augmentation import Changes, Stream, amplify_clips, change_speed, shift_clips
from shared.recipe import Recipe
from shared.seeding import numpy_stream

T = 512


def streams(seed: int = 0) -> Stream:
    return lambda purpose: numpy_stream(seed, purpose)


def tone(cycles: float, middle: float = 0.0) -> torch.Tensor:
    """A cosine of ``cycles`` in T samples, with its crest in the middle of the clip."""
    times = torch.arange(T) - (T - 1) / 2 - middle
    return torch.cos(2 * math.pi * cycles / T * times)[None]


def test_shift_delays_and_leaves_silence() -> None:
    clips = torch.arange(1.0, 6.0).repeat(5, 1)
    shifted = shift_clips(clips, torch.tensor([2, 0, -1, 9, -9]))
    assert shifted[:3].tolist() == [[0, 0, 1, 2, 3], [1, 2, 3, 4, 5], [2, 3, 4, 5, 0]]
    assert not shifted[3:].any()  # further than the clip is long
    assert shift_clips(clips[:0], torch.zeros(0, dtype=torch.int64)).shape == (0, 5)


def test_gain_is_clipped_like_audio() -> None:
    clips = torch.tensor([[0.1, -0.4], [0.1, -0.4]])
    louder = amplify_clips(clips, torch.tensor([0.5, 4.0]))
    torch.testing.assert_close(louder, torch.tensor([[0.05, -0.2], [0.4, -1.0]]))


def test_speed_one_changes_no_bit() -> None:
    clips = torch.rand(3, T) - 0.5
    assert torch.equal(change_speed(clips, torch.ones(3)), clips)


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_speed_moves_the_pitch_about_the_middle(speed: float) -> None:
    played = change_speed(tone(20), torch.tensor([speed]))
    wanted = tone(20 * speed)
    inner = slice(T // 2 - 150, T // 2 + 150)
    torch.testing.assert_close(played[:, inner], wanted[:, inner], atol=5e-3, rtol=0)


def test_what_a_faster_clip_lacks_is_silence() -> None:
    played = change_speed(torch.ones(2, T), torch.tensor([2.0, 0.5]))
    assert not played[0, : T // 4 - 2].any()
    assert not played[0, -(T // 4 - 2) :].any()
    assert (played[0, T // 4 + 2 : -(T // 4 + 2)] == 1).all()
    assert (played[1, 1:-1] == 1).all()


def test_speed_keeps_its_precision_in_long_clips() -> None:
    long = torch.sin(torch.arange(400_000, dtype=torch.float64) * 0.05).float()[None]
    speed = 1.0001
    played = change_speed(long, torch.tensor([speed]))
    middle = (400_000 - 1) / 2
    times = middle + (torch.arange(400_000, dtype=torch.float64) - middle) * float(
        torch.tensor(speed)
    )
    torch.testing.assert_close(played[0, 100:-100], times.mul(0.05).sin().float()[100:-100],
                               atol=1e-3, rtol=0)  # fmt: skip


def test_a_plain_recipe_changes_nothing_and_asks_for_no_stream() -> None:
    def refuse(purpose: str) -> np.random.Generator:
        raise AssertionError(purpose)

    changes = Changes.draw(Recipe(), 4, refuse)
    assert changes == Changes()
    clips = torch.rand(4, T)
    assert changes.apply(clips) is clips


def test_draws_lie_where_the_recipe_says_and_are_log_uniform() -> None:
    recipe = Recipe(max_gain=4, max_speed=1.2, max_shift_samples=7)
    speeds, offsets, gains = Changes.draw(recipe, 4000, streams())
    assert speeds is not None
    assert offsets is not None
    assert gains is not None
    assert 1 / 1.2 <= speeds.min() < 0.85
    assert 1.15 < speeds.max() <= 1.2
    assert sorted(set(offsets.tolist())) == list(range(-7, 8))
    assert gains.min() >= 0.25
    assert gains.max() <= 4
    assert abs(float(gains.log().mean())) < 0.05
    assert float(gains.log().std()) == pytest.approx(2 * math.log(4) / math.sqrt(12), rel=0.05)


def test_one_change_never_moves_the_draws_of_another() -> None:
    alone = Changes.draw(Recipe(max_shift_samples=7), 9, streams())
    beside = Changes.draw(Recipe(max_shift_samples=7, max_gain=3, max_speed=1.1), 9, streams())
    assert alone.offsets is not None
    assert beside.offsets is not None
    assert torch.equal(alone.offsets, beside.offsets)


def test_changes_are_made_one_after_the_other() -> None:
    changes = Changes(torch.tensor([1.1]), torch.tensor([5]), torch.tensor([2.0]))
    clips = torch.rand(1, T) - 0.5
    one, two, three = changes
    assert one is not None
    assert two is not None
    assert three is not None
    wanted = amplify_clips(shift_clips(change_speed(clips, one), two), three)
    assert torch.equal(changes.apply(clips), wanted)
    doubled = changes.each(lambda part: part * 2)
    assert doubled.gains is not None
    assert doubled.gains.tolist() == [4.0]
