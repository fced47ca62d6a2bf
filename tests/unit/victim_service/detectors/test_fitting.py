"""Detectors are fitted to a victim's own clips, kept, read again, and tried."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.audio import to_wav
from shared.checkpoint import TENSORS_HASH, load_card
from tests.support.detector_streams import World
from victim_service import __main__ as cli
from victim_service.detectors import DETECTORS
from victim_service.detectors.coverage import CoverageSpec
from victim_service.detectors.fitted import Fitted, Thresholds, load_fitted, save_fitted
from victim_service.detectors.fitting import (
    LONG_WINDOWS,
    SHORT_WINDOWS,
    TARGET,
    fit_detectors,
    fit_of,
    halve,
    stays,
)
from victim_service.detectors.honest import PROFILES, HonestTraffic, Speech
from victim_service.detectors.running import scores
from victim_service.detectors.trying import Trial
from victim_service.errors import StartError
from victim_service.train import VictimRecipe, load_data, train

RATE_HZ = 2000
RECIPE = """
name: tiny
corpus: {kind: speaker_tree, root: ROOT}
sample_rate_hz: 2000
clip_samples: 512
network: {kind: knagg_cnn, filters: 4, embedding: 8}
recipe: {epochs: 4, batch_size: 8, learning_rate: 0.01, patience: 9}
"""


class Quiet:
    """A reporter of a training that tells nobody."""

    def __getattr__(self, name):
        return lambda *_: None


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    """A folder with a trained victim, its recipe and its cache."""
    folder = tmp_path_factory.mktemp("victim")
    rng = np.random.default_rng(0)
    for speaker in range(4):
        (folder / "corpus" / f"s{speaker}").mkdir(parents=True)
        for clip in range(20):
            time_s = np.arange(1000) / RATE_HZ
            wave = 0.5 * np.sin(2 * np.pi * (100 + 150 * speaker) * time_s + rng.uniform(0, 6))
            wave += rng.normal(0, 0.02, len(wave))
            path = folder / "corpus" / f"s{speaker}" / f"{clip}.wav"
            path.write_bytes(to_wav(wave.astype(np.float32), RATE_HZ))
    recipe = folder / "tiny.yaml"
    recipe.write_text(RECIPE.replace("ROOT", str(folder / "corpus")))
    train(read(folder), folder / "out", folder / "cache", Quiet())
    return folder


def read(folder):
    from shared.config import load_yaml

    return load_yaml(folder / "tiny.yaml", VictimRecipe)


@pytest.fixture
def run(victim, monkeypatch, capsys):
    def words(*given):
        monkeypatch.setenv("EARSHOT_CACHE", str(victim / "cache"))
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr("sys.argv", ["earshot-victim", "detectors", *map(str, given)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out = capsys.readouterr()
        return int(ended.value.code or 0), out.out, out.err

    return words


def test_fit_writes_what_a_service_reads_and_try_measures_it(victim, run, tmp_path):
    status, out, err = run("fit", victim / "out", victim / "tiny.yaml", "--windows", 80)
    assert (status, err) == (0, "")
    identity = load_card(victim / "out")[TENSORS_HASH]
    fitted = load_fitted(victim / "out" / "detectors", identity, b"salt")
    assert fitted.reference.secret == b"salt"
    assert fitted.reference.seen.clips.shape[1] == 0  # the clips themselves are not kept
    assert set(fitted.thresholds) == set(DETECTORS)
    for kind, fit in fitted.document.fits.items():
        assert kind in out
        assert fit.windows == 80
        assert {profile: item.windows for profile, item in fit.profiles.items()} == dict.fromkeys(
            PROFILES, 20
        )
        assert fit.threshold == pytest.approx(fit.highest + fit.margin)
        detector, threshold = fitted.build(DETECTORS[kind](kind=kind))
        assert threshold == fit.threshold
        assert detector.window == 50
    kept = (victim / "out" / "detectors" / "thresholds.json").read_bytes()
    run("fit", victim / "out", victim / "tiny.yaml", "--windows", 80, "--out", tmp_path)
    assert (tmp_path / "thresholds.json").read_bytes() == kept
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).normal(0, 0.1, (100, 512)))
    given = ("--clips", tmp_path / "noise.npy", "--windows", 80)
    status, out, err = run("try", victim / "out", victim / "tiny.yaml", *given)
    assert (status, err) == (0, "")
    assert len([line for line in out.splitlines() if " noise " in line]) == len(DETECTORS)


def test_fit_says_what_can_never_alarm_and_that_windows_are_few(victim, run, tmp_path):
    chosen = tmp_path / "detectors.yaml"
    chosen.write_text("- {kind: coverage, window: 2}\n")  # two clips soon have two labels
    arguments = (victim / "out", victim / "tiny.yaml", "--detectors", chosen, "--out", tmp_path)
    status, out, _ = run("fit", *arguments, "--windows", 80)
    assert status == 0
    told = " ".join(out.split())
    assert "coverage can never alarm: honest users reach 1" in told
    assert "80 windows say little of one alarm in 1,000: fit with at least 4,000" in told


@pytest.mark.parametrize("kind", DETECTORS)
def test_no_score_is_above_the_most_that_there_is(kind):
    world = World()
    detector = DETECTORS[kind](kind=kind).build(world.reference)
    for stream in (world.one_speaker, world.everybody, world.strangers, world.jittered):
        assert max(scores(detector, stream(400))) <= DETECTORS[kind].most


def test_settings_of_a_file_are_fitted(victim, run, tmp_path):
    chosen = tmp_path / "detectors.yaml"
    chosen.write_text("- {kind: coverage, window: 20, over: buckets}\n")
    arguments = (victim / "out", victim / "tiny.yaml", "--detectors", chosen, "--out", tmp_path)
    assert run("fit", *arguments, "--windows", 80)[0] == 0
    fitted = load_fitted(tmp_path, load_card(victim / "out")[TENSORS_HASH])
    assert fitted.threshold(CoverageSpec(window=20, over="buckets")) > 0
    assert fitted.threshold(CoverageSpec(threshold=0.3)) == 0.3
    for other in (CoverageSpec(window=30, over="buckets"), DETECTORS["seat"](kind="seat")):
        with pytest.raises(StartError, match="there is no threshold for"):
            fitted.threshold(other)


def test_an_operator_says_whom_to_expect(victim, run, tmp_path):
    given = (victim / "out", victim / "tiny.yaml", "--windows", 80)
    only = ("--users", "drift_noise, single_speaker")
    assert run("fit", *given, "--out", tmp_path, *only)[0] == 0
    fitted = load_fitted(tmp_path, load_card(victim / "out")[TENSORS_HASH])
    for fit in fitted.document.fits.values():
        assert {name: item.windows for name, item in fit.profiles.items()} == {
            "drift_noise": 40,
            "single_speaker": 40,
        }
    status, out, err = run("try", *given, "--fitted", tmp_path, *only)
    assert (status, err) == (0, "")
    assert "drift_noise" in out
    assert "call_centre" not in out
    status, _, err = run("fit", *given, "--users", "burglar")
    assert (status, err.count("\n")) == (1, 1)
    assert "unknown kind 'burglar'. Write of single_speaker, call_centre" in err


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- {kind: odd}", "unknown kind 'odd'; valid kinds: coverage, "),
        ("kind: seat", "not a list"),
        ("- {kind: seat, keep: 3}", "keep: unknown key"),
        ("[{kind: seat}, {kind: seat}]", "named twice"),
    ],
)
def test_what_cannot_be_fitted_ends_in_one_line(victim, run, tmp_path, text, reason):
    chosen = tmp_path / "detectors.yaml"
    chosen.write_text(text)
    status, _, err = run("fit", victim / "out", victim / "tiny.yaml", "--detectors", chosen)
    assert status == 1
    assert err.count("\n") == 1
    assert reason in err


def test_a_checkpoint_of_another_recipe_is_refused(victim, run, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text((victim / "tiny.yaml").read_text() + "seed: 7\n")
    status, _, err = run("fit", victim / "out", other, "--windows", 80)
    assert status == 1
    assert "was not trained by recipe 'tiny' on this audio" in err


def test_files_of_another_checkpoint_and_damaged_ones_are_refused(tmp_path):
    world = World(3, 8)
    document = Thresholds(checkpoint="a" * 64, sample_rate_hz=4000, target=TARGET, seed=0, fits={})
    save_fitted(tmp_path, Fitted(world.reference, document))
    np.testing.assert_array_equal(
        load_fitted(tmp_path, "a" * 64).reference.seen.embeddings, world.reference.seen.embeddings
    )
    with pytest.raises(StartError, match=r"fitted for checkpoint aaaa.*Run `earshot-victim"):
        load_fitted(tmp_path, "b" * 64)
    with pytest.raises(StartError, match=r"No such file.*Run `earshot-victim"):
        load_fitted(tmp_path / "nowhere", "a" * 64)
    whole = (tmp_path / "reference.safetensors").read_bytes()
    for damaged in (whole[:-9], b"", whole[:8] + b"x" + whole[9:]):
        (tmp_path / "reference.safetensors").write_bytes(damaged)
        with pytest.raises(StartError, match="damaged"):
            load_fitted(tmp_path, "a" * 64)
    (tmp_path / "reference.safetensors").write_bytes(whole)
    text = json.loads((tmp_path / "thresholds.json").read_text())
    (tmp_path / "thresholds.json").write_text(json.dumps({**text, "more": 1}))
    with pytest.raises(StartError, match="more: unknown key"):
        load_fitted(tmp_path, "a" * 64)


def test_reference_and_thresholds_share_no_clip(victim):
    data = load_data(read(victim), victim / "cache")
    halves = halve(data, data.split.validation, 0)
    assert set(halves.reference) | set(halves.thresholds) == set(data.split.validation)
    assert not set(halves.reference) & set(halves.thresholds)
    for half in (halves.reference, halves.thresholds):
        np.testing.assert_array_equal(np.bincount(data.labels[half]), [2] * 4)
    with pytest.raises(StartError, match="no speaker has two validation clips"):
        halve(data, [data.split.validation[0]], 0)


def test_a_threshold_lies_a_margin_above_every_honest_score():
    scores = {"one": [[0.0] * 500, [0.0] * 499], "other": [[1.0, 3.0]]}
    fit = fit_of(CoverageSpec(), scores)
    assert (fit.highest, fit.margin, fit.threshold) == pytest.approx((3.0, 0.3, 3.3))
    assert fit.profiles["one"].highest == 0
    assert (fit.windows, fit.users) == (1001, 3)
    assert {name: item.users for name, item in fit.profiles.items()} == {"one": 2, "other": 1}


@given(st.integers(1, 5000))
def test_half_of_the_windows_are_of_users_who_come_by(windows):
    users = stays(windows)
    assert windows <= sum(users) < windows + LONG_WINDOWS
    assert set(users) <= {LONG_WINDOWS, SHORT_WINDOWS}
    coming_by = users.count(SHORT_WINDOWS) * SHORT_WINDOWS
    assert windows / 2 - LONG_WINDOWS <= coming_by <= windows / 2 + SHORT_WINDOWS


def test_trying_counts_accounts_beside_windows(victim):
    data, recipe = load_data(read(victim), victim / "cache"), read(victim)
    fitted = fit_detectors(victim / "out", recipe, data, [CoverageSpec()], windows=160)
    threshold = fitted.document.fits["coverage"].median
    low = fitted.document.fits["coverage"].model_copy(update={"threshold": threshold})
    document = fitted.document.model_copy(update={"fits": {"coverage": low}})
    trial = Trial(victim / "out", recipe, data, Fitted(fitted.reference, document))
    readings = list(trial.honest(160))
    assert [reading.users for reading in readings] == [len(stays(40))] * len(PROFILES)
    assert 0 < sum(reading.accused for reading in readings) < 4 * len(stays(40))
    assert all(reading.accused <= reading.alarms <= reading.windows for reading in readings)
    (thief,) = trial.thief("thief", np.zeros((100, 512), np.float32))
    assert (thief.users, thief.windows) == (1, 2)
    assert thief.accused == (thief.alarms > 0)


class TestHonestTraffic:
    """Streams of many users, as a model hears them that embeds a clip by its first samples."""

    @pytest.fixture
    def traffic(self):
        rng = np.random.default_rng(0)
        clips = rng.integers(-9000, 9000, (60, 256)).astype(np.int16)

        def network(heard):
            return heard[:, :4].copy(), np.full((len(heard), 10), 0.1, np.float32)

        return HonestTraffic(Speech(clips, np.repeat(np.arange(10), 6), 10, RATE_HZ), network, 1)

    @pytest.mark.parametrize("profile", PROFILES)
    def test_a_user_is_the_same_again_and_others_are_others(self, traffic, profile):
        one, again, other = (traffic.stream(profile, number, 70) for number in (1, 1, 2))
        assert len(one) == 70
        np.testing.assert_array_equal(one.clips, again.clips)
        np.testing.assert_array_equal(one.embeddings, one.clips[:, :4])
        assert (one.clips != other.clips).any()

    @pytest.mark.parametrize("profile", PROFILES)
    def test_a_longer_stream_begins_as_the_shorter_one(self, traffic, profile):
        longer, shorter = (traffic.stream(profile, 0, clips) for clips in (100, 50))
        np.testing.assert_array_equal(longer.clips[:50], shorter.clips)

    def test_other_recordings_make_other_users(self, traffic):
        speech = traffic.speech
        other = Speech(speech.clips[::-1].copy(), speech.labels, 10, RATE_HZ)
        assert other.sha256 != speech.sha256
