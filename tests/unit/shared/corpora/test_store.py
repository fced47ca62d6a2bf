import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from shared.corpora import Corpus, CorpusError, SpeakerTreeSpec
from shared.corpora.store import ClipStore

RATE = 4_000


def ramp(samples: int, offset: int = 1) -> np.ndarray:
    """int16 samples that tell where they come from."""
    return (np.arange(samples) + offset).astype(np.int16)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, samples in (("ann/a.wav", 100), ("ann/b.flac", 40), ("bob/c.wav", 250)):
        (tmp_path / "speech" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "speech" / name, ramp(samples), RATE)
    return tmp_path / "speech"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def corpus(root: Path) -> Corpus:
    return SpeakerTreeSpec(root=str(root)).build(root)


def ints(wave: np.ndarray) -> list[int]:
    return [round(value * 32_768) for value in wave.tolist()]


class TestOpen:
    def test_clips_are_decoded_in_order(self, root: Path, cache: Path) -> None:
        store = ClipStore.open(corpus(root), RATE, cache)
        assert len(store) == 3
        assert [clip.clip_id for clip in store.clips] == ["ann/a.wav", "ann/b.flac", "bob/c.wav"]
        assert store.lengths.tolist() == [100, 40, 250]
        assert store.skipped == ()
        for index, samples in enumerate((100, 40, 250)):
            assert ints(store.wave(index)) == ramp(samples).tolist()
        assert store.wave(0).dtype == np.float32

    def test_the_manifest_names_the_bytes(self, root: Path, cache: Path) -> None:
        store = ClipStore.open(corpus(root), RATE, cache)
        assert store.manifest[1] == {
            "clip_id": "ann/b.flac",
            "speaker": "ann",
            "sha256": hashlib.sha256((root / "ann/b.flac").read_bytes()).hexdigest(),
            "samples": 40,
        }

    def test_the_manifest_hash_follows_the_audio_not_the_place(
        self, root: Path, cache: Path
    ) -> None:
        before = ClipStore.open(corpus(root), RATE, cache)
        moved = root.rename(root.parent / "moved")
        after = ClipStore.open(corpus(moved), RATE, cache)
        assert after.manifest_sha256 == before.manifest_sha256
        soundfile.write(moved / "ann/a.wav", ramp(100, 7), RATE)
        changed = ClipStore.open(corpus(moved), RATE, cache)
        assert changed.manifest_sha256 != before.manifest_sha256
        assert ints(changed.wave(0))[0] == 7
        assert ClipStore.open(corpus(moved), 8_000, cache).manifest_sha256 not in {
            before.manifest_sha256,
            changed.manifest_sha256,
        }

    def test_other_rates_are_resampled(self, root: Path, cache: Path) -> None:
        store = ClipStore.open(corpus(root), 16_000, cache)
        assert store.sample_rate_hz == 16_000
        assert store.lengths.tolist() == [400, 160, 1_000]

    def test_the_second_opening_decodes_nothing(self, root: Path, cache: Path) -> None:
        reports: list[tuple[str, int, int]] = []
        first = ClipStore.open(corpus(root), RATE, cache, lambda *report: reports.append(report))
        assert reports == [("decoding speech", 3, 3)]
        again = ClipStore.open(corpus(root), RATE, cache, lambda *report: reports.append(report))
        assert len(reports) == 1
        assert again.manifest == first.manifest
        np.testing.assert_array_equal(again.wave(2), first.wave(2))

    def test_many_files_keep_their_order(self, tmp_path: Path, cache: Path) -> None:
        for number in range(150):
            path = tmp_path / "many" / f"s{number % 3}" / f"{number:03d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, ramp(5 + number % 7, number), RATE if number % 2 else 8_000)
        store = ClipStore.open(corpus(tmp_path / "many"), 8_000, cache)
        assert len(store) == 150
        for index, clip in enumerate(store.clips):
            number = int(clip.path.stem)
            if number % 2 == 0:
                assert ints(store.wave(index)) == ramp(5 + number % 7, number).tolist()

    @pytest.mark.parametrize("damage", ["index.json", "samples.int16"])
    def test_a_damaged_cache_is_made_again(self, root: Path, cache: Path, damage: str) -> None:
        ClipStore.open(corpus(root), RATE, cache)
        (path,) = cache.glob(f"*/{damage}")
        path.write_bytes(path.read_bytes()[:-9])
        assert ints(ClipStore.open(corpus(root), RATE, cache).wave(1)) == ramp(40).tolist()

    def test_no_scratch_is_left(self, root: Path, cache: Path) -> None:
        ClipStore.open(corpus(root), RATE, cache)
        assert len(list(cache.iterdir())) == 1


class TestBadFiles:
    @pytest.fixture
    def spoiled(self, root: Path) -> Path:
        (root / "ann/empty.wav").touch()
        (root / "ann/text.wav").write_text("not audio")
        soundfile.write(root / "ann/silent.wav", np.zeros(0), RATE)
        soundfile.write(root / "bob/nan.wav", np.array([0, np.nan]), RATE, subtype="FLOAT")
        (root / "bob/loop.wav").symlink_to("loop.wav")
        (root / "bob/folder.wav").mkdir()
        os.mkfifo(root / "bob/pipe.wav")
        return root

    @pytest.mark.timeout(20)
    def test_they_are_named_and_counted_and_the_rest_is_used(
        self, spoiled: Path, cache: Path
    ) -> None:
        for _ in range(2):  # the second time from the cache
            store = ClipStore.open(corpus(spoiled), RATE, cache)
            assert store.lengths.tolist() == [100, 40, 250]
            assert {item.path.name: item.reason for item in store.skipped} == {
                "empty.wav": "not a WAV or FLAC file that can be read",
                "text.wav": "not a WAV or FLAC file that can be read",
                "silent.wav": "holds no samples",
                "nan.wav": "holds NaN or infinite samples. Clean it first",
                "loop.wav": "not a regular file",
                "pipe.wav": "not a regular file",
            }

    def test_a_file_that_vanishes_is_skipped(self, root: Path, cache: Path) -> None:
        listed = corpus(root)
        (root / "ann/b.flac").unlink()
        store = ClipStore.open(listed, RATE, cache)
        assert [item.path.name for item in store.skipped] == ["b.flac"]

    def test_a_mended_file_is_used(self, root: Path, cache: Path) -> None:
        good = (root / "ann/a.wav").read_bytes()
        (root / "ann/a.wav").write_bytes(b"broken")
        assert len(ClipStore.open(corpus(root), RATE, cache)) == 2
        (root / "ann/a.wav").write_bytes(good)
        assert len(ClipStore.open(corpus(root), RATE, cache)) == 3

    def test_nothing_left_is_an_error_that_names_files(self, root: Path, cache: Path) -> None:
        for path in root.rglob("*.*"):
            path.write_bytes(b"")
        with pytest.raises(CorpusError, match=r"3 of 3 files .*a\.wav: not a WAV.*Replace these"):
            ClipStore.open(corpus(root), RATE, cache)

    def test_one_speaker_left_is_an_error(self, root: Path, cache: Path) -> None:
        (root / "bob/c.wav").write_bytes(b"")
        with pytest.raises(CorpusError, match=r"1 of 3 files .* 1 speakers are left"):
            ClipStore.open(corpus(root), RATE, cache)


class TestCrops:
    @pytest.fixture
    def store(self, root: Path, cache: Path) -> ClipStore:
        return ClipStore.open(corpus(root), RATE, cache)

    def test_fixed_crops_start_at_sample_zero(self, store: ClipStore) -> None:
        crops = store.fixed_crops([2, 0, 1, 1], 60)
        assert crops.dtype == np.float32
        assert crops.shape == (4, 60)
        assert ints(crops[0]) == ints(crops[1]) == ramp(60).tolist()
        assert ints(crops[2]) == ints(crops[3]) == [*ramp(40).tolist(), *([0] * 20)]

    def test_random_crops_of_longer_clips_reach_every_start(self, store: ClipStore) -> None:
        crops = store.random_crops(np.full(3_000, 0), 96, np.random.default_rng(0))
        starts = [ints(crop)[0] - 1 for crop in crops[:, :1]]
        assert set(starts) == set(range(5))
        counts = np.bincount(starts)
        assert counts.min() > 500
        for crop, start in zip(crops[:20], starts, strict=False):
            assert ints(crop) == ramp(96, start + 1).tolist()

    def test_random_crops_of_shorter_clips_move_inside_zeros(self, store: ClipStore) -> None:
        crops = store.random_crops(np.full(500, 1), 43, np.random.default_rng(0))
        places = set()
        for crop in crops:
            first = int(np.flatnonzero(crop)[0])
            places.add(first)
            expected = np.zeros(43, dtype=int)
            expected[first : first + 40] = ramp(40)
            assert ints(crop) == expected.tolist()
        assert places == {0, 1, 2, 3}

    def test_a_clip_that_fits_exactly_is_taken_whole(self, store: ClipStore) -> None:
        crops = store.random_crops([0], 100, np.random.default_rng(0))
        assert ints(crops[0]) == ramp(100).tolist()

    def test_the_stream_decides(self, store: ClipStore) -> None:
        first, same, other = (
            store.random_crops([2, 2, 2], 60, np.random.default_rng(seed)) for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, same)
        assert not np.array_equal(first, other)

    def test_no_index_gives_no_crop(self, store: ClipStore) -> None:
        assert store.fixed_crops([], 60).shape == (0, 60)
        assert store.random_crops([], 60, np.random.default_rng(0)).shape == (0, 60)
