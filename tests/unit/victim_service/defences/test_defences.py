"""What holds for every defence, and on what its draws depend."""

import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.audio import decode_clips, to_int16, to_npy, to_wav
from tests.support.defences import BrokenSpec, MixtureSpec, StatefulSpec
from tests.support.rows import probability_rows
from tests.support.victims import make_clips
from victim_service.defences import (
    DEFENCES,
    Asked,
    DefenceSpec,
    clip_digests,
    defend,
)
from victim_service.defences.rounding import RoundingSpec

CLIPS = make_clips(8, 64)
ROWS = np.random.default_rng(0).dirichlet(np.ones(5), 8).astype(np.float32)
ASKED = Asked(b"s" * 32, "alice", "c" * 64, "soft", 1)
EVERY = [RoundingSpec(decimals=2), MixtureSpec()]


def test_the_table_names_each_kind_by_its_spec():
    assert "rounding" in DEFENCES
    for kind, spec in DEFENCES.items():
        assert spec.model_fields["kind"].default == kind
        assert issubclass(spec, DefenceSpec)


@pytest.mark.parametrize("spec", EVERY, ids=lambda spec: spec.kind)
@given(rows=probability_rows(most_classes=60), asked=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_every_defence_keeps_the_simplex_and_its_input(
    spec: DefenceSpec, rows: np.ndarray, asked: int
) -> None:
    before, clips = rows.copy(), make_clips(len(rows), 16, seed=asked)
    defended = defend(rows, clips, (spec,), ASKED)
    np.testing.assert_array_equal(rows, before)
    assert (defended.shape, defended.dtype) == (rows.shape, np.float32)
    assert defended.min() >= 0
    assert np.abs(defended.sum(axis=1, dtype=np.float64) - 1).max() <= 1e-6


@pytest.mark.parametrize("spec", EVERY, ids=lambda spec: spec.kind)
def test_a_batch_is_defended_as_its_clips_alone_and_in_any_order(spec):
    together = defend(ROWS, CLIPS, (spec,), ASKED)
    alone = [defend(ROWS[n : n + 1], CLIPS[n : n + 1], (spec,), ASKED) for n in range(len(CLIPS))]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    order = np.random.default_rng(1).permutation(len(CLIPS))
    np.testing.assert_array_equal(
        together[order], defend(ROWS[order], CLIPS[order], (spec,), ASKED)
    )


@pytest.mark.parametrize(
    "change",
    [
        {"secret": b"t" * 32},
        {"account": "bob"},
        {"checkpoint": "d" * 64},
        {"plan": "sof"},
        {"plan_version": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_draws_depend_on_who_asks_under_what(change):
    first = defend(ROWS, CLIPS, (MixtureSpec(),), ASKED)
    np.testing.assert_array_equal(first, defend(ROWS, CLIPS, (MixtureSpec(),), replace(ASKED)))
    other = defend(ROWS, CLIPS, (MixtureSpec(),), replace(ASKED, **change))
    assert (first != other).any(axis=1).all()


def test_draws_depend_on_the_clip_and_on_the_place_in_the_chain():
    same_rows = np.tile(ROWS[:1], (8, 1))
    assert len(np.unique(defend(same_rows, CLIPS, (MixtureSpec(),), ASKED), axis=0)) == 8
    digests = clip_digests(CLIPS)
    first, second = (ASKED.context(name, digests) for name in ("0:noise", "1:noise"))
    assert first.rng(0).integers(2**62) == first.rng(0).integers(2**62)
    assert first.rng(0).integers(2**62) != first.rng(1).integers(2**62)
    assert first.rng(0).integers(2**62) != second.rng(0).integers(2**62)


def test_no_two_origins_read_the_same():
    pairs = [("a", "bc"), ("ab", "c"), ("abc", ""), ("a1:b", "c"), ("a", "1:bc")]
    keys = {
        replace(ASKED, account=account, checkpoint=checkpoint).context("n", ()).key
        for account, checkpoint in pairs
    }
    assert len(keys) == len(pairs)


def test_neither_secret_nor_key_is_shown():
    shown = repr(ASKED) + repr(ASKED.context("noise", clip_digests(CLIPS)))
    assert "ssss" not in shown
    assert "key=" not in shown


def test_a_defence_sees_the_state_of_the_account():
    before = ROWS.copy()
    flat = defend(ROWS, CLIPS, (StatefulSpec(),), replace(ASKED, state="1"))
    np.testing.assert_array_equal(ROWS, before)  # the defence worked in place, on a copy
    np.testing.assert_allclose(flat, 0.2, atol=1e-6)
    np.testing.assert_array_equal(ROWS, defend(ROWS, CLIPS, (StatefulSpec(),), ASKED))


def test_a_chain_is_applied_in_order():
    chain = (MixtureSpec(), RoundingSpec(decimals=1))
    tenths = defend(ROWS, CLIPS, chain, ASKED) * 10
    np.testing.assert_allclose(tenths, np.rint(tenths), atol=1e-5)
    other = defend(ROWS, CLIPS, chain[::-1], ASKED) * 10
    assert np.abs(other - np.rint(other)).max() > 1e-3


def test_without_defences_the_rows_are_the_models_own():
    assert defend(ROWS, CLIPS, (), ASKED) is ROWS


@pytest.mark.parametrize("how", ["short", "double", "heavy", "nan", "negative"])
def test_a_broken_defence_is_caught(how):
    with pytest.raises(ValueError, match=r"Broken .*Mend its change\(\)"):
        defend(ROWS, CLIPS, (BrokenSpec(how=how),), ASKED)


def test_wav_flac_and_npy_of_one_clip_have_one_digest():
    clip = to_int16(make_clips(1, 256)[0])
    flac = io.BytesIO()
    soundfile.write(flac, clip, 4000, format="FLAC")
    float_wav = io.BytesIO()
    soundfile.write(float_wav, clip / np.float32(32768), 4000, format="WAV", subtype="FLOAT")
    bodies = [
        (to_npy(clip[np.newaxis]), "application/x-npy"),
        (to_npy(clip.astype(">i2")), "application/x-npy"),
        (to_npy(clip.astype(np.float32) / 32768), "application/x-npy"),
        (to_wav(clip / np.float32(32768), 4000), "audio/wav"),
        (flac.getvalue(), "audio/flac"),
        (float_wav.getvalue(), "audio/wav"),
    ]
    digests = {
        clip_digests(decode_clips(body, kind, sample_rate_hz=4000, clip_samples=256, max_clips=1))
        for body, kind in bodies
    }
    assert len(digests) == 1
    assert len(set(clip_digests(CLIPS))) == len(CLIPS)


def test_the_sign_of_zero_makes_no_other_clip():
    silence = np.zeros((1, 64), np.float32)
    assert clip_digests(silence) == clip_digests(-silence)
    quiet = silence.copy()
    quiet[0, 3] = 2**-15
    assert clip_digests(silence) != clip_digests(quiet)
