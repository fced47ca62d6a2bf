"""Honest users: one row each, and every row is a pure function that tells the truth."""

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from shared.honest import USERS, AnyUserSpec, HonestUser, UserSpec
from shared.honest.base import vary
from shared.honest.call_centre import CallCentreSpec
from shared.honest.drift_noise import DriftNoise, DriftNoiseSpec
from shared.honest.monitoring_bot import MonitoringBotSpec
from shared.honest.single_speaker import SingleSpeakerSpec
from tests.support import lab_world

TABLE: dict[str, UserSpec] = {
    "single_speaker": SingleSpeakerSpec(),
    "call_centre": CallCentreSpec(clips_of_a_call=4),
    "monitoring_bot": MonitoringBotSpec(probes=5),
    "drift_noise": DriftNoiseSpec(speakers=3, period=20),
}
KINDS = tuple(TABLE)
BUNDLE = lab_world.bundle()


def user(kind: str, seed: int = 0) -> HonestUser:
    return TABLE[kind].build(BUNDLE, seed)


def pitch_of(clips: np.ndarray) -> np.ndarray:
    """Return which speaker's tone (see lab_world) is the loudest in each clip."""
    spectra = np.abs(np.fft.rfft(clips.astype(np.float64) * np.hanning(clips.shape[1])))
    bins = np.round((150 + 90 * np.arange(6)) * clips.shape[1] / lab_world.RATE_HZ).astype(int)
    tones: np.ndarray = spectra[:, bins].argmax(axis=1)
    return tones


def test_every_user_of_the_package_has_a_row() -> None:
    assert set(TABLE) == set(USERS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_is_a_function_of_bundle_seed_and_number(kind: str) -> None:
    queries = np.array([3, 0, 17, 40, 8])
    clips, truth = user(kind).clips(queries)
    backwards, of_them = user(kind).clips(queries[::-1])
    one = user(kind)
    singles = np.concatenate([one.clips(queries[i : i + 1])[0] for i in range(5)])
    assert clips.dtype == np.int16
    assert clips.shape == (5, lab_world.SAMPLES)
    assert np.array_equal(clips, backwards[::-1])
    assert np.array_equal(truth, of_them[::-1])
    assert np.array_equal(clips, singles)


@pytest.mark.parametrize("kind", KINDS)
def test_the_speaker_who_is_named_is_the_one_who_speaks(kind: str) -> None:
    clips, truth = user(kind).clips(np.arange(60))
    # A telephone takes most of the two lowest tones.
    assert np.mean(pitch_of(clips) == truth) > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_is_another_person(kind: str) -> None:
    one, other = (user(kind, seed).clips(np.arange(12))[0] for seed in (0, 1))
    assert (one != other).any(axis=1).mean() > 0.8


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "monitoring_bot"])
def test_people_never_say_the_same_twice(kind: str) -> None:
    clips, _ = user(kind).clips(np.arange(300))  # of 120 recordings
    assert len(np.unique(clips, axis=0)) == 300


@pytest.mark.parametrize("kind", KINDS)
def test_a_spec_survives_yaml_and_refuses_unknown_fields(kind: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(AnyUserSpec)
    assert adapter.validate_python(TABLE[kind].model_dump()) == TABLE[kind]
    with pytest.raises(ValidationError, match="extra"):
        adapter.validate_python({**TABLE[kind].model_dump(), "sped": 1})


def test_a_single_speaker_is_one_and_a_call_is_of_one() -> None:
    assert len(set(user("single_speaker").clips(np.arange(40))[1].tolist())) == 1
    _, truth = user("call_centre").clips(np.arange(160))
    calls = truth.reshape(-1, 4)
    assert (calls == calls[:, :1]).all()
    assert len(set(truth.tolist())) == 6


def test_a_bot_sends_the_same_bytes_in_turn() -> None:
    clips, truth = user("monitoring_bot").clips(np.arange(15))
    assert np.array_equal(clips[:5], clips[5:10])
    assert np.array_equal(clips[:5], clips[10:])
    assert len(np.unique(clips, axis=0)) == 5
    places = [int(np.flatnonzero((BUNDLE.clips == clip).all(axis=1))[0]) for clip in clips[:5]]
    assert np.array_equal(BUNDLE.labels[places], truth[:5])


def test_noise_grows_and_goes_back() -> None:
    drifting = DriftNoiseSpec(period=20).build(BUNDLE, 0)
    assert isinstance(drifting, DriftNoise)
    assert [drifting.drift(q) for q in (0, 10, 20, 30, 40)] == [0, 0.5, 1, 0.5, 0]
    clips, _ = drifting.clips(np.arange(21))
    spectra = np.abs(np.fft.rfft(clips.astype(np.float64) * np.hanning(lab_world.SAMPLES)))
    noise = np.median(spectra, axis=1) / spectra.max(axis=1)
    assert noise[16:21].mean() > 2 * noise[:5].mean()


def test_a_loud_room_is_louder_than_a_quiet_one() -> None:
    with pytest.raises(ValidationError, match="Exchange them"):
        DriftNoiseSpec(quiet_db=10, loud_db=20)


def test_a_variation_is_small_and_never_the_same() -> None:
    wave = BUNDLE.clips[0].astype(np.float32) / 32768
    rng = np.random.default_rng(0)
    varied = np.stack([vary(wave, lab_world.RATE_HZ, rng) for _ in range(20)])
    assert varied.shape == (20, lab_world.SAMPLES)
    levels = np.sqrt(np.mean(varied**2, axis=1)) / np.sqrt(np.mean(wave**2))
    assert 0.68 < levels.min() < 0.85
    assert 1.15 < levels.max() < 1.45
    assert (np.corrcoef(varied)[np.triu_indices(20, 1)] < 0.9999).all()


@pytest.mark.parametrize("kind", KINDS)
def test_somebody_is_one_of_many_and_the_same_again(kind: str) -> None:
    def somebody(seed: int) -> UserSpec:
        return USERS[kind].somebody(np.random.default_rng(seed))

    assert all(isinstance(somebody(seed), USERS[kind]) for seed in range(50))
    assert somebody(3) == somebody(3)
    if len(USERS[kind].model_fields) > 1:
        assert len({somebody(seed).model_dump_json() for seed in range(50)}) > 20


def test_a_centre_may_know_few_callers() -> None:
    _, truth = CallCentreSpec(callers=2).build(BUNDLE, 0).clips(np.arange(160))
    assert len(set(truth.tolist())) == 2


def test_a_bot_may_play_its_recordings() -> None:
    clips, truth = MonitoringBotSpec(probes=2, replayed=0.5).build(BUNDLE, 0).clips(np.arange(60))
    assert 20 < len(np.unique(clips, axis=0)) < 45
    assert np.array_equal(truth, np.resize(truth[:2], 60))
