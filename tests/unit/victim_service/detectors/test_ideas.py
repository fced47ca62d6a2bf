"""What each idea must do, beside what all of them must."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import shapiro

from tests.support.detector_streams import RATE_HZ, World, jitter, tones
from victim_service.detectors import Reference, Seen
from victim_service.detectors.coverage import CoverageSpec
from victim_service.detectors.energy_cusum import EnergyCusumSpec
from victim_service.detectors.fingerprints import FingerprintsSpec
from victim_service.detectors.hardness import HardnessSpec, pearson_distance
from victim_service.detectors.leakage import LeakageSpec
from victim_service.detectors.log_mel import log_mel
from victim_service.detectors.mmd_window import MmdWindowSpec
from victim_service.detectors.prada import PradaSpec
from victim_service.detectors.running import scores
from victim_service.detectors.seat import SeatSpec
from victim_service.detectors.shapiro import shapiro_wilk
from victim_service.errors import StartError

WORLD = World()


def a_bot() -> Seen:
    """Ten clips in turn, the same samples each time."""
    one = WORLD.one_speaker(10)
    places = np.resize(np.arange(10), 300)
    return Seen(one.embeddings[places], one.probabilities[places], one.clips[places])


class TestShapiroWilk:
    @pytest.mark.parametrize("count", [12, 20, 50, 100, 200, 1000])
    @pytest.mark.parametrize("law", ["normal", "exponential", "uniform"])
    def test_w_is_that_of_scipy(self, count, law):
        sample = getattr(np.random.default_rng(count), law)(size=count)
        assert shapiro_wilk(sample) == pytest.approx(shapiro(sample).statistic, abs=1e-4)
        assert shapiro_wilk(7 * sample + 3) == pytest.approx(shapiro_wilk(sample), abs=1e-9)

    def test_a_constant_is_normal_and_too_few_are_refused(self):
        assert shapiro_wilk(np.full(50, 0.1)) == 1.0
        with pytest.raises(ValueError, match="Take another sample"):
            shapiro_wilk(np.arange(5.0))


class TestPrada:
    def test_the_score_leaves_out_what_is_more_than_three_deviations_off(self):
        # 60 distances of 1 to 2, and two that lie 2.6 and 5.4 deviations above the mean.
        usual = 1.5 + 0.5 * np.sin(np.arange(60.0))
        found = np.append(usual, [3.0, 4.5]).astype(np.float32).astype(np.float64)
        off = np.abs(found - found.mean()) / found.std()
        assert 2 < off[60] < 3 < off[61] < 6
        prada = PradaSpec(least=40).build(WORLD.reference)
        memory = prada.begin() | {"distances_next": np.array([62])}
        memory["distances"][:62] = found
        expected = 1 - shapiro(found[:61]).statistic
        assert abs(expected - (1 - shapiro(found).statistic)) > 0.02
        assert prada.score(memory) == pytest.approx(expected, abs=1e-4)

    def test_a_normal_stream_is_none_and_a_chain_is_an_alarm_within_300_clips(self):
        prada = PradaSpec(least=100).build(WORLD.reference)
        assert max(scores(prada, WORLD.one_speaker(300))) < 0.1  # published: W of .90 to .96
        assert max(scores(prada, WORLD.chain(300))) > 0.1

    def test_other_peoples_natural_speech_is_missed_as_published(self):
        prada = PradaSpec(least=100).build(WORLD.reference)
        assert max(scores(prada, WORLD.everybody(300))) < 0.1

    def test_too_few_distances_are_no_evidence(self):
        prada = PradaSpec(least=100).build(WORLD.reference)
        assert next(scores(prada, WORLD.chain(100))) == 0

    def test_prada_counts_no_clip_that_comes_again(self):
        assert max(scores(PradaSpec(least=40).build(WORLD.reference), a_bot())) == 0

    def test_more_distances_than_are_kept_are_not_asked_for(self):
        assert PradaSpec(distances=40, least=40)
        with pytest.raises(ValidationError, match="Keep least <= distances"):
            PradaSpec(distances=39, least=40)


class TestSeat:
    def test_copies_are_strikes_but_the_very_same_clip_is_none(self):
        seat = SeatSpec().build(WORLD.reference)
        once = WORLD.one_speaker(10)
        again = Seen(*(np.tile(part, (5, 1)) for part in vars(once).values()))
        assert list(scores(seat, again)) == [0.0]
        (score,) = scores(seat, WORLD.jittered(50))
        assert score == pytest.approx(33 / 50)  # the first of each three is no copy

    def test_more_neighbours_than_clips_are_kept_are_not_asked_for(self):
        assert SeatSpec(kept=8, neighbours=8)
        with pytest.raises(ValidationError, match="Keep neighbours <= kept"):
            SeatSpec(kept=8, neighbours=9)

    def test_a_reference_with_too_few_neighbours_is_refused(self):
        few = WORLD.reference.seen.part(0, 10)
        reference = Reference(few, WORLD.reference.labels[:10], RATE_HZ)
        assert 0 < SeatSpec(neighbours=9).build(reference).radius < np.inf
        with pytest.raises(StartError, match=r"10 clips .* without 10 neighbours.* Set fewer"):
            SeatSpec(neighbours=10).build(reference)


class TestMmdWindow:
    @pytest.mark.parametrize("of", ["answers", "embeddings"])
    def test_it_is_zero_on_the_reference_itself_and_grows_with_a_shift(self, of):
        count = len(WORLD.reference.seen)
        mmd = MmdWindowSpec(of=of, window=count).build(WORLD.reference)
        assert next(scores(mmd, WORLD.reference.seen)) == pytest.approx(0, abs=1e-12)
        far = [next(scores(mmd, self.shifted(share))) for share in (0.0, 0.4, 0.7)]
        assert far == sorted(far)
        assert far[-1] > 10 * far[0]

    @staticmethod
    def shifted(share: float) -> Seen:
        seen = WORLD.everybody(len(WORLD.reference.seen), seed=9)
        return WORLD.seen(seen.embeddings * np.float32(1 - share), seen.clips)

    def test_it_is_the_distance_of_the_mean_waves(self):
        mmd = MmdWindowSpec(of="embeddings", features=32, window=100).build(WORLD.reference)
        window, scale = WORLD.one_speaker(100), mmd.scale
        x = np.stack([scale(row) for row in window.embeddings])
        # A sine and a cosine are one complex wave.
        here, there = (
            np.exp(1j * rows @ mmd.frequencies.T).mean(0) for rows in (x, scale.reference)
        )
        exact = float((np.abs(here - there) ** 2).mean())
        assert next(scores(mmd, window)) == pytest.approx(exact, rel=1e-3)

    def test_it_is_the_kernels_own_sum(self):
        mmd = MmdWindowSpec(of="embeddings", features=4096, window=100).build(WORLD.reference)
        window, scale = WORLD.strangers(100), mmd.scale
        x = np.stack([scale(row) for row in window.embeddings])
        y = scale.reference
        distances = ((y[:, None] - y[None]) ** 2).sum(axis=2)
        width = 4 * np.median(distances[np.triu_indices(len(y), 1)])

        def kernel(a: np.ndarray, b: np.ndarray) -> float:
            return float(np.exp(-((a[:, None] - b[None]) ** 2).sum(2) / (2 * width)).mean())

        exact = kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)
        assert next(scores(mmd, window)) == pytest.approx(exact, rel=0.1)


class TestHardness:
    @pytest.mark.parametrize(
        ("history", "first"),
        [
            ([2, 2, 2, 2, 2], 0),
            ([0, 2, 2, 2, 2], 1),
            ([2, 0, 2, 2, 2], 2),
            ([0, 1, 1, 2, 2], 3),
            ([2, 2, 2, 2, 1], 4),
        ],
    )
    def test_it_is_the_first_snapshot_from_which_on_the_label_stays(self, history, first):
        hardness = HardnessSpec(snapshots=5).build(WORLD.reference)
        hardness.heads = np.zeros((5, 3, 65), np.float32)
        hardness.heads[np.arange(5), history, -1] = 1  # biases alone decide
        assert hardness.hardness(np.ones(64, np.float32)) == first

    def test_a_bot_says_too_little_to_be_judged(self):
        assert max(scores(HardnessSpec().build(WORLD.reference), a_bot())) == 0

    def test_the_histogram_counts_each_clip_once(self):
        hardness = HardnessSpec().build(WORLD.reference)
        memory = hardness.extend(hardness.begin(), WORLD.everybody(50))
        assert memory["counts"].sum() == 50
        assert hardness.usual.sum() == pytest.approx(1)
        assert hardness.close(memory)["counts"].sum() == 0

    def test_clips_between_speakers_are_harder(self):
        hardness = HardnessSpec(learning_rate=0.002).build(WORLD.reference)
        known, strange = (
            np.mean([hardness.hardness(hardness.scale(row)) for row in seen.embeddings])
            for seen in (WORLD.everybody(200), WORLD.strangers(200))
        )
        assert strange > known

    def test_pearsons_distance(self):
        one = np.array([5.0, 3, 1, 0])
        assert pearson_distance(one, 2 * one + 1) == pytest.approx(0)
        assert pearson_distance(one, -one) == pytest.approx(2)
        assert pearson_distance(one, np.ones(4)) == 1


class TestEnergyCusum:
    def test_the_recursion_by_hand(self):
        cusum = EnergyCusumSpec(drift=1.0, window=4).build(WORLD.reference)
        unsure = cusum.mean + cusum.deviation * np.array([3.0, 0.0, 4.0, 1.0])
        rows = np.zeros((4, 30), np.float32)
        rows[:, 0] = np.exp(-unsure)
        seen = Seen(np.zeros((4, 64), np.float32), rows, np.zeros((4, 4), np.float32))
        # sums: 2, 1, 4, 4; a window begins with 0 again
        assert next(scores(cusum, seen)) == pytest.approx(4, rel=1e-3)
        memory = cusum.close(cusum.extend(cusum.begin(), seen))
        assert cusum.score(memory) == 0

    def test_honest_runs_last_and_strange_ones_end_soon(self):
        cusum = EnergyCusumSpec(window=500).build(WORLD.reference)
        level = max(scores(cusum, WORLD.everybody(2000)))
        memory, strange = cusum.begin(), WORLD.strangers(50)
        for clip in range(50):
            memory = cusum.extend(memory, strange.part(clip, clip + 1))
            if cusum.score(memory) > level:
                break
        assert clip < 20


class TestFingerprints:
    def near(self, clips: np.ndarray, secret: bytes = b"a", **settings: int) -> int:
        reference = Reference(WORLD.reference.seen, WORLD.reference.labels, RATE_HZ, secret)
        prints = FingerprintsSpec(window=len(clips), **settings).build(reference)
        nothing = np.zeros((len(clips), 4), np.float32)
        (score,) = scores(prints, Seen(nothing, nothing, clips))
        return round(score * len(clips))

    def test_tiny_changes_are_caught_under_any_salt(self):
        rng = np.random.default_rng(0)
        originals = tones(60, rng)
        copies = np.stack([jitter(wave, rng, rng.uniform(40, 50)) for wave in originals])
        for secret in (b"a", b"b", b""):
            assert self.near(originals, secret) == 0
            assert self.near(np.concatenate([originals, copies]), secret) >= 57

    def test_the_same_samples_again_are_no_near_duplicate(self):
        originals = tones(20, np.random.default_rng(1))
        assert self.near(np.concatenate([originals, originals])) == 0
        zero = np.float32(-0.0)
        silent = np.zeros((2, 1024), np.float32)
        silent[1] = zero
        assert self.near(silent) == 0

    def test_what_left_the_ring_is_forgotten(self):
        rng = np.random.default_rng(2)
        originals = tones(30, rng)
        copy = jitter(originals[0], rng)[None]
        assert self.near(np.concatenate([originals, copy]), kept=64) == 1
        assert self.near(np.concatenate([originals, copy]), kept=16) == 0

    def test_the_salt_decides_the_bits(self):
        clip = tones(1, np.random.default_rng(3))[0]
        prints = [
            FingerprintsSpec()
            .build(Reference(WORLD.reference.seen, WORLD.reference.labels, RATE_HZ, secret))
            .fingerprint(clip)
            for secret in (b"a", b"a", b"b")
        ]
        np.testing.assert_array_equal(prints[0], prints[1])
        apart = np.unpackbits(prints[0] ^ prints[2]).sum()
        assert 80 < apart < 176  # of 256: independent

    def test_the_picture_knows_no_level(self):
        clip = tones(1, np.random.default_rng(4))[0]
        np.testing.assert_allclose(
            log_mel(clip, RATE_HZ), log_mel(clip / 2, RATE_HZ), rtol=0, atol=1e-5
        )
        assert log_mel(np.zeros(10, np.float32), RATE_HZ).max() == 0


class TestCoverage:
    def test_the_lowest_score_is_that_of_one_cell(self):
        found = [
            CoverageSpec(window=40).lowest,
            CoverageSpec(window=40, over="buckets", bits=3).lowest,
            CoverageSpec(window=40, over="buckets", bits=6).lowest,
        ]
        assert found == [1 / 40, 1 / 8, 1 / 40]

    def test_labels_count_by_what_they_add(self):
        coverage = CoverageSpec(window=40).build(WORLD.reference)
        for speakers in (1, 2, 10):
            seen = WORLD.speech(np.arange(40) % speakers, seed=7)
            assert next(scores(coverage, seen)) == pytest.approx(speakers / 30, rel=0.01)

    def test_buckets_are_salted_and_wider_than_a_speaker(self):
        coverage = CoverageSpec(over="buckets").build(WORLD.reference)
        narrow, broad = (
            next(scores(coverage, seen)) for seen in (WORLD.one_speaker(50), WORLD.everybody(50))
        )
        assert narrow < broad
        other = Reference(WORLD.reference.seen, WORLD.reference.labels, RATE_HZ, b"other")
        planes = CoverageSpec(over="buckets").build(other).planes
        assert coverage.planes is not None
        assert (planes != coverage.planes).any()


class TestLeakage:
    @pytest.mark.parametrize("ridge", [0.1, 20.0])
    def test_the_student_is_ridge_regression_in_closed_form(self, ridge):
        leakage = LeakageSpec(ridge=ridge).build(WORLD.reference)
        rng = np.random.default_rng(0)
        embeddings = rng.normal(0.3, 1, (90, 64)).astype(np.float32)
        told = rng.dirichlet(np.ones(30), 90).astype(np.float32)
        seen = Seen(embeddings, told, np.zeros((90, 4), np.float32))
        memory = leakage.extend(leakage.begin(), seen)
        x = np.column_stack([np.stack([leakage.scale(row) for row in embeddings]), np.ones(90)])
        expected = np.linalg.inv(x.T @ x + ridge * np.eye(65)) @ x.T @ told
        np.testing.assert_allclose(leakage.student(memory), expected, atol=1e-4)
        assert np.abs(expected).max() > 0.02
        leakage.answers = (leakage.exam @ expected).argmax(axis=1)
        assert leakage.score(memory) > 0.99

    def test_it_grows_with_what_was_sold(self):
        leakage = LeakageSpec().build(WORLD.reference)
        sold = list(scores(leakage, WORLD.everybody(1000)))
        assert sold[-1] > 0.9
        assert sold[0] < sold[-1]

    def test_one_speaker_teaches_one_speaker(self):
        leakage = LeakageSpec().build(WORLD.reference)
        assert max(scores(leakage, WORLD.one_speaker(300))) < 0.1

    def test_codes_stand_for_many_labels(self):
        world = World(200, 32)
        told = {codes: LeakageSpec(codes=codes).build(world.reference) for codes in (64, 200)}
        assert {codes: found.width for codes, found in told.items()} == {64: 64, 200: 200}
        coded, whole = (list(scores(found, world.everybody(800)))[-1] for found in told.values())
        assert whole > 0.3
        assert coded > 0.5 * whole
