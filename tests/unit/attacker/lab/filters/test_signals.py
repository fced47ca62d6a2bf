from pathlib import Path

import numpy as np
import pytest
import torch

from attacker.lab.filters.maximise import Maximised
from attacker.lab.filters.signals import LayerSignals, read_signals, signals_path, write_signals

QUESTION = {"checkpoint": "abc", "seed": 0}


def some(count: int = 3, samples: int = 50, seed: int = 0) -> Maximised:
    made = torch.Generator().manual_seed(seed)
    waves = torch.rand((count, samples), generator=made) * 2 - 1
    return Maximised(waves, torch.rand(count), torch.rand(count))


def written(path: Path) -> LayerSignals:
    signals = LayerSignals.none(50).followed_by(some())
    write_signals(path, signals, QUESTION)
    return signals


def test_signals_come_back_by_their_question(tmp_path: Path) -> None:
    path = signals_path(tmp_path, "a", "conv1")
    signals = written(path)
    found = read_signals(path, dict(reversed(QUESTION.items())))
    assert found is not None
    for name in ("waves", "start", "end"):
        assert np.array_equal(getattr(found, name), getattr(signals, name))
    assert np.abs(found.wave(1) - some().signals[1].numpy()).max() <= 1 / 32768


def test_another_question_and_no_file_find_nothing(tmp_path: Path) -> None:
    path = signals_path(tmp_path, "a", "conv1")
    assert read_signals(path, QUESTION) is None
    written(path)
    assert read_signals(path, {**QUESTION, "seed": 1}) is None


@pytest.mark.parametrize("place", [5, 300, -3])
def test_an_altered_or_cut_file_is_made_again(tmp_path: Path, place: int) -> None:
    path = signals_path(tmp_path, "a", "conv1")
    written(path)
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)
    assert read_signals(path, QUESTION) is None
    path.write_bytes(data[: len(data) // 2])
    assert read_signals(path, QUESTION) is None


def test_more_filters_follow_and_fewer_are_the_first() -> None:
    signals = LayerSignals.none(50).followed_by(some(3)).followed_by(some(2, seed=1))
    assert len(signals) == 5
    assert np.array_equal(signals.first(3).waves, LayerSignals.none(50).followed_by(some(3)).waves)
