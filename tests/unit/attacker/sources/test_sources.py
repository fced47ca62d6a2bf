"""Query sources: one row each, and every row keeps every promise of the base class."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from attacker.errors import SourceError, SourceMismatch
from attacker.sources import SOURCES, Source, SourceContext, SourceSpec
from shared.audio import from_int16, to_int16

LINKS = ("amplify", "pitch_shift", "speed", "filter", "reverb", "mix_noise")
MADE = ("interpolate", "gaussian_noise", "wavegan")
KINDS = ("proxy", *LINKS, "chain", "jitter", "blinding", "camouflage", *MADE)
Make = Callable[..., SourceContext]


def test_every_source_of_the_package_has_a_row(table: dict[str, Any]) -> None:
    assert set(table) == set(KINDS) == set(SOURCES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_is_a_function_of_seed_and_index_alone(
    kind: str, table: dict[str, Any], context: Make
) -> None:
    indices = np.array([3, 0, 17, 40, 8])
    once = table[kind].build(context()).render(indices)
    source = table[kind].build(context())
    singles = np.concatenate([source.render(indices[i : i + 1]) for i in range(5)])
    backwards = source.render(indices[::-1])[::-1]
    assert np.array_equal(once, singles)
    assert np.array_equal(once, backwards)
    assert np.array_equal(once, source.render(indices))


@pytest.mark.parametrize("kind", KINDS)
def test_clips_fit_the_wire(kind: str, table: dict[str, Any], context: Make) -> None:
    clips = table[kind].build(context()).render(np.arange(20))
    assert clips.shape == (20, 1024)
    assert clips.dtype == np.float32
    assert np.array_equal(clips, from_int16(to_int16(clips)))
    assert len(np.unique(clips, axis=0)) == 20
    assert (np.abs(clips).max(axis=1) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_make_other_clips(kind: str, table: dict[str, Any], context: Make) -> None:
    one = table[kind].build(context(seed=1)).render(np.arange(4))
    other = table[kind].build(context(seed=2)).render(np.arange(4))
    assert (one != other).any(axis=1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_and_nonsense_are_told_apart(
    kind: str, table: dict[str, Any], context: Make
) -> None:
    source = table[kind].build(context())
    assert source.render(np.array([], dtype=np.int64)).shape == (0, 1024)
    with pytest.raises(SourceError, match=">= 0"):
        source.render(np.array([-1]))


@pytest.mark.parametrize("kind", KINDS)
def test_training_hears_each_query_alone_and_on_the_same_grid(
    kind: str, table: dict[str, Any], context: Make
) -> None:
    source, indices = table[kind].build(context()), np.array([3, 0, 17, 40, 8])
    heard = source.training_clips(indices)
    assert heard.shape == (5, 1024)
    assert np.array_equal(heard, from_int16(to_int16(heard)))
    singles = np.concatenate([source.training_clips(indices[i : i + 1]) for i in range(5)])
    assert np.array_equal(heard, singles)
    assert source.training_clips(indices[:0]).shape == (0, 1024)
    mask = source.trained_on(np.arange(60))
    assert mask.dtype == bool
    assert mask.all() == (kind != "camouflage")


@pytest.mark.parametrize("kind", KINDS)
def test_a_spec_survives_yaml_and_refuses_unknown_fields(kind: str, table: dict[str, Any]) -> None:
    adapter: TypeAdapter[SourceSpec] = TypeAdapter(SourceSpec)
    assert adapter.validate_python(table[kind].model_dump()) == table[kind]
    with pytest.raises(ValueError, match="extra"):
        adapter.validate_python({**table[kind].model_dump(), "gian": 1})


@pytest.mark.parametrize("change", [{"sample_rate_hz": 8000}, {"clip_samples": 4096}])
def test_a_generator_that_does_not_fit_the_victim_is_refused(
    change: dict[str, int], table: dict[str, Any], context: Make
) -> None:
    with pytest.raises(SourceMismatch, match="train-gan"):
        table["wavegan"].build(context(**change))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (np.zeros((2, 1000)), "made"),
        (np.full((2, 1024), np.nan), "finite"),
        (np.full((2, 1024), 1.5), "beyond"),
        (np.full((2, 1024), -np.inf), "finite"),
    ],
)
def test_a_source_that_breaks_its_promise_is_stopped(
    made: np.ndarray, words: str, context: Make
) -> None:
    class Broken(Source):
        material = "none"

        def make_batch(self, indices: np.ndarray) -> np.ndarray:
            return made

        def make(self, index: int, rng: np.random.Generator) -> np.ndarray:
            return made[index]

    with pytest.raises(SourceError, match=words):
        Broken(context(), "broken").render(np.arange(2))
