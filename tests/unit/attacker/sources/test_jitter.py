"""Jittered copies: of one window each, all different, and near enough to be the same sound."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from attacker.sources import SourceContext
from attacker.sources.amplify import AmplifySpec
from attacker.sources.jitter import JitterSpec
from attacker.sources.proxy import ProxySpec
from attacker.sources.walk import ProxyWalk

Make = Callable[..., SourceContext]
INDICES = np.arange(28)  # seven windows: each proxy clip once


def distance_db(clips: np.ndarray, others: np.ndarray) -> np.ndarray:
    power = np.square(clips).sum(axis=1)
    ratios: np.ndarray = 10 * np.log10(np.square(clips - others).sum(axis=1) / power)
    return ratios


def test_queries_are_copies_of_windows_in_turn(context: Make) -> None:
    source = JitterSpec(copies=4).build(context())
    groups = source.group_of(INDICES)
    assert groups is not None
    assert groups.tolist() == [q // 4 for q in range(28)]
    assert groups.dtype == np.int64
    assert ProxySpec().build(context()).group_of(INDICES) is None


def test_copies_are_near_each_other_and_none_is_another(context: Make) -> None:
    spec = JitterSpec(copies=4, max_shift_s=0)
    clips = spec.build(context()).render(INDICES).reshape(7, 4, -1)
    for one in range(4):
        for other in range(one):
            apart = distance_db(clips[:, one], clips[:, other])
            assert (apart > -60).all()
            assert (apart < -15).all()
    strangers = distance_db(clips[:, 0], np.roll(clips[:, 0], 1, axis=0))
    assert (strangers > -3).all()


def test_without_shift_a_copy_without_links_would_be_the_window_of_the_walk(context: Make) -> None:
    still = AmplifySpec(max_gain=1)
    clips = JitterSpec(copies=2, links=(still,), max_shift_s=0).build(context()).render(INDICES)
    windows = ProxySpec().build(context()).render(INDICES[:14])
    assert np.array_equal(clips[0::2], windows)
    assert np.array_equal(clips[1::2], windows)


def test_a_shift_alone_moves_one_window_by_a_few_samples(context: Make) -> None:
    spec = JitterSpec(copies=4, links=(), max_shift_s=0.005)  # 20 samples at 4 kHz
    clips = spec.build(context()).render(INDICES)
    walk, offsets = ProxyWalk(context()), []
    for index, clip in zip(INDICES, clips, strict=True):
        whole = walk.window(int(index) // 4, 1024 + 40)
        cuts = np.lib.stride_tricks.sliding_window_view(whole, 1024)
        errors = np.abs(cuts - clip).max(axis=1)
        offsets.append(int(errors.argmin()))
        assert errors.min() <= 2**-15
    assert len(set(offsets)) > 10
    assert 0 <= min(offsets) < 10
    assert 30 < max(offsets) <= 40


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"copies": 1}, "greater than or equal to 2"),
        ({"links": [{"kind": "speed"}]}, "links.0: speed takes another length"),
        ({"links": [{"kind": "proxy"}]}, "cannot be a link"),
        ({"links": [], "max_shift_s": 0}, "all copies are equal"),
        ({"max_shift_s": -1}, "max_shift_s"),
    ],
)
def test_what_cannot_be_jitter_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        JitterSpec.model_validate({"kind": "jitter", **change})
