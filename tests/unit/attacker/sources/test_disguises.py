"""Blinding and camouflage: what is sent looks like something else, and training knows better."""

from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError

from attacker.sources import SourceContext
from attacker.sources.amplify import AmplifySpec
from attacker.sources.blinding import BlindingSpec
from attacker.sources.camouflage import CamouflageSource, CamouflageSpec
from attacker.sources.jitter import JitterSpec
from attacker.sources.proxy import ProxySpec
from attacker.sources.speed import SpeedSpec
from shared.corpora.store import ClipStore

Make = Callable[..., SourceContext]
INDICES = np.arange(40)


def most_alike(clip: np.ndarray, other: np.ndarray) -> float:
    """Return the largest correlation of two clips over all their shifts."""
    size = 2 * len(clip)
    products = np.fft.irfft(np.fft.rfft(clip, size) * np.conj(np.fft.rfft(other, size)), size)
    return float(np.abs(products).max() / np.linalg.norm(clip) / np.linalg.norm(other))


def test_disguises_of_a_window_are_less_alike_than_jittered_copies(context: Make) -> None:
    blinded = BlindingSpec(copies=2).build(context()).render(INDICES).reshape(20, 2, -1)
    jittered = JitterSpec(copies=2).build(context()).render(INDICES).reshape(20, 2, -1)
    hidden, shown = (
        np.median([most_alike(one, other) for one, other in pairs]) for pairs in (blinded, jittered)
    )
    assert hidden < 0.9 < 0.99 < shown


def test_disguises_are_of_windows_in_turn(context: Make) -> None:
    source = BlindingSpec(copies=4).build(context())
    groups = source.group_of(INDICES)
    assert groups is not None
    assert groups.tolist() == [q // 4 for q in range(40)]
    assert BlindingSpec().build(context()).group_of(INDICES) is None


def test_undone_training_hears_one_window_for_all_its_disguises(context: Make) -> None:
    source = BlindingSpec(copies=4, undo=True).build(context())
    heard = source.training_clips(INDICES).reshape(10, 4, -1)
    assert (heard == heard[:, :1]).all()
    assert len(np.unique(heard[:, 0], axis=0)) == 10
    assert (source.render(INDICES) != source.training_clips(INDICES)).any(axis=1).all()
    as_sent = BlindingSpec(copies=4).build(context())
    assert np.array_equal(as_sent.training_clips(INDICES), source.render(INDICES))


def test_without_shift_and_with_links_that_do_nothing_undoing_changes_nothing(
    context: Make,
) -> None:
    still = AmplifySpec(max_gain=1)
    source = BlindingSpec(links=(still,), max_shift_s=0, undo=True).build(context())
    assert np.array_equal(source.training_clips(INDICES), source.render(INDICES))


def test_the_fastest_disguise_still_fills_its_clip(context: Make) -> None:
    fast = BlindingSpec(links=(SpeedSpec(factors=(2, 2)), SpeedSpec(factors=(1.5, 1.5))))
    assert fast.build(context()).render(INDICES).shape == (40, 1024)


def test_camouflage_leaves_the_hidden_source_as_it_is(context: Make) -> None:
    for inner in (ProxySpec(), JitterSpec(copies=2), BlindingSpec(undo=True)):
        source = CamouflageSpec(share=0.5, source=inner).build(context())
        bought = INDICES[source.trained_on(INDICES)]
        assert len(bought) == 20
        alone = inner.build(context())
        assert np.array_equal(source.render(bought), alone.render(np.arange(20)))
        heard = alone.training_clips(np.arange(20))
        assert np.array_equal(source.training_clips(bought), heard)
        groups = alone.group_of(np.arange(20))
        if groups is None:
            assert source.group_of(bought) is None
        else:
            assert np.array_equal(source.group_of(bought), groups)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 1 / 3, 0.7, 0.99])
def test_camouflage_has_its_share_everywhere_and_skips_no_query(
    share: float, context: Make
) -> None:
    source = CamouflageSpec(share=share).build(context())
    assert isinstance(source, CamouflageSource)
    queries = np.arange(20_000)
    bought = source.trained_on(queries)
    assert source._hidden_before(queries[bought]).tolist() == list(range(int(bought.sum())))
    shares = 1 - bought.reshape(10, -1).mean(axis=1)
    assert np.abs(shares - share).max() < 0.001


def test_camouflage_is_one_speaker_who_never_repeats_a_clip(
    context: Make, store: ClipStore
) -> None:
    source = CamouflageSpec().build(context())
    assert isinstance(source, CamouflageSource)
    assert {store.clips[clip].speaker for clip in source.own} == {source.speaker}
    assert len(source.own) == sum(clip.speaker == source.speaker for clip in store.clips)
    company = source.render(INDICES[~source.trained_on(INDICES)])
    assert len(np.unique(company, axis=0)) == len(company)
    speakers = set()
    for seed in range(8):
        other = CamouflageSpec().build(context(seed=seed))
        assert isinstance(other, CamouflageSource)
        speakers.add(other.speaker)
    assert speakers == {"s0", "s1"}


def test_camouflage_within_camouflage_is_refused() -> None:
    with pytest.raises(ValidationError, match="camouflage"):
        CamouflageSpec.model_validate({"source": {"kind": "camouflage"}})
    for share in (0, 1):
        with pytest.raises(ValidationError, match="share"):
            CamouflageSpec(share=share)
