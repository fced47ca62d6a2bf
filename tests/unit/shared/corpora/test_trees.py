"""speaker_tree, librispeech and voxceleb, on small trees made here."""

from pathlib import Path
from typing import Any

import pytest

from shared.corpora import CorpusError, LibriSpeechSpec, SpeakerTreeSpec, VoxCelebSpec


def grow(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"audio is not opened here")
    return root


def ids(spec: Any, cache: Path) -> dict[str, str]:
    return {clip.clip_id: clip.speaker for clip in spec.build(cache).clips}


class TestSpeakerTree:
    def test_the_first_folder_is_the_speaker(self, tmp_path: Path) -> None:
        grow(tmp_path, "ann/1.wav", "ann/day/2.flac", "bob/3.wav", "readme.txt", "loose.wav")
        grow(tmp_path, ".trash/4.wav", "empty/notes.txt")
        spec = SpeakerTreeSpec(root=str(tmp_path))
        assert ids(spec, tmp_path / "cache") == {
            "ann/1.wav": "ann",
            "ann/day/2.flac": "ann",
            "bob/3.wav": "bob",
        }
        corpus = spec.build(tmp_path / "cache")
        assert corpus.name == tmp_path.name
        assert all(clip.path == tmp_path / clip.clip_id for clip in corpus.clips)
        assert not (tmp_path / "cache").exists()

    @pytest.mark.parametrize(
        ("names", "words"),
        [
            ((), "no such folder"),
            (("loose.wav",), "no audio found"),
            (("ann/1.wav", "ann/2.wav"), "only speaker is 'ann'"),
        ],
    )
    def test_unusable_trees(self, tmp_path: Path, names: tuple[str, ...], words: str) -> None:
        grow(tmp_path / "tree", *names)
        with pytest.raises(CorpusError, match=words):
            SpeakerTreeSpec(root=str(tmp_path / "tree")).build(tmp_path)


class TestLibriSpeech:
    names = (
        "LibriSpeech/dev-clean/84/121123/84-121123-0000.flac",
        "LibriSpeech/dev-clean/84/121550/84-121550-0001.flac",
        "LibriSpeech/dev-clean/84/121550/84-121550.trans.txt",
        "LibriSpeech/test-clean/61/70968/61-70968-0000.flac",
        "LibriSpeech/SPEAKERS.TXT",
    )

    def spec(self, root: Path, **more: Any) -> LibriSpeechSpec:
        return LibriSpeechSpec(root=str(root), subsets=("test-clean", "dev-clean"), **more)

    def test_the_published_tree(self, tmp_path: Path) -> None:
        found = ids(self.spec(grow(tmp_path, *self.names)), tmp_path)
        assert found == {
            "dev-clean/84/121123/84-121123-0000.flac": "84",
            "dev-clean/84/121550/84-121550-0001.flac": "84",
            "test-clean/61/70968/61-70968-0000.flac": "61",
        }

    def test_the_folder_of_subsets_may_be_the_root(self, tmp_path: Path) -> None:
        grow(tmp_path, *self.names)
        (tmp_path / "LibriSpeech").rename(tmp_path / "moved")
        assert len(ids(self.spec(tmp_path / "moved"), tmp_path)) == 3

    def test_subsets_that_are_not_asked_for_are_left_out(self, tmp_path: Path) -> None:
        grow(tmp_path, *self.names, "LibriSpeech/dev-other/1/2/1-2-0000.flac")
        assert not any(name.startswith("dev-other") for name in ids(self.spec(tmp_path), tmp_path))

    def test_a_missing_subset_is_named(self, tmp_path: Path) -> None:
        grow(tmp_path, *self.names[:3])
        with pytest.raises(CorpusError, match=r"LibriSpeech/test-clean: .*`download: true`"):
            self.spec(tmp_path).build(tmp_path)

    def test_a_missing_root_is_named_and_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(CorpusError, match="absent: no such folder"):
            self.spec(tmp_path / "absent").build(tmp_path)
        assert not (tmp_path / "absent").exists()

    def test_download_fetches_only_what_is_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []

        def fetch(root: Path, url: str, download: bool) -> None:
            assert download
            asked.append(url)
            grow(root, "LibriSpeech/test-clean/61/70968/61-70968-0000.flac", f"{url}.tar.gz")

        monkeypatch.setattr("torchaudio.datasets.LIBRISPEECH", fetch)
        grow(tmp_path / "new", *self.names[:2])
        for _ in range(2):
            assert len(ids(self.spec(tmp_path / "new", download=True), tmp_path)) == 3
        assert asked == ["test-clean"]
        tree = tmp_path / "new" / "LibriSpeech"
        assert sorted(path.name for path in tree.iterdir()) == ["dev-clean", "test-clean"]

    def test_a_download_that_breaks_leaves_no_half_subset(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fetch(root: Path, url: str, download: bool) -> None:
            grow(root, f"LibriSpeech/{url}/61/70968/half.flac", f"{url}.tar.gz")
            raise OSError("the line went dead")

        monkeypatch.setattr("torchaudio.datasets.LIBRISPEECH", fetch)
        grow(tmp_path, *self.names[:2])
        with pytest.raises(CorpusError, match=r"test-clean failed: the line went dead\. Run it ag"):
            self.spec(tmp_path, download=True).build(tmp_path)
        assert not (tmp_path / "LibriSpeech" / "test-clean").exists()


class TestVoxCeleb:
    dev, test = "id10001/abc/00001.wav", "id10270/xyz/00001.wav"

    def test_the_merged_tree_is_told_apart_by_speaker(self, tmp_path: Path) -> None:
        grow(tmp_path, f"wav/{self.dev}", "wav/id10310/abc/00001.wav", f"wav/{self.test}")
        grow(tmp_path, "wav/id10309/abc/00002.wav", "iden_split.txt")
        both = VoxCelebSpec(root=str(tmp_path))
        assert len(ids(both, tmp_path)) == 4
        only = VoxCelebSpec(root=str(tmp_path), parts=("test",))
        assert ids(only, tmp_path) == {
            self.test: "id10270",
            "id10309/abc/00002.wav": "id10309",
        }

    def test_parts_in_folders_of_their_own(self, tmp_path: Path) -> None:
        grow(tmp_path, f"dev/wav/{self.dev}", f"test/wav/{self.test}")
        assert ids(VoxCelebSpec(root=str(tmp_path)), tmp_path) == {
            self.dev: "id10001",
            self.test: "id10270",
        }

    def test_a_missing_part_says_how_to_get_it(self, tmp_path: Path) -> None:
        grow(tmp_path, f"wav/{self.dev}", "wav/id10002/abc/1.wav")
        with pytest.raises(CorpusError, match=r"test part\. .*register at"):
            VoxCelebSpec(root=str(tmp_path)).build(tmp_path)
        assert len(ids(VoxCelebSpec(root=str(tmp_path), parts=("dev",)), tmp_path)) == 2

    def test_download_fetches_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[Path] = []

        def fetch(root: Path, subset: str, download: bool) -> None:
            calls.append(root)
            grow(root, f"wav/{self.dev}", f"wav/{self.test}", "vox1_dev_wav.zip")

        monkeypatch.setattr("torchaudio.datasets.VoxCeleb1Identification", fetch)
        spec = VoxCelebSpec(root=str(tmp_path / "new"), download=True)
        assert len(ids(spec, tmp_path)) == 2
        assert len(ids(spec, tmp_path)) == 2
        assert len(calls) == 1
        assert not calls[0].exists()

    def test_a_refused_download_points_to_the_registration(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fetch(root: Path, subset: str, download: bool) -> None:
            raise RuntimeError("HTTP Error 401")

        monkeypatch.setattr("torchaudio.datasets.VoxCeleb1Identification", fetch)
        with pytest.raises(CorpusError, match=r"HTTP Error 401\. .*register at"):
            VoxCelebSpec(root=str(tmp_path / "new"), download=True).build(tmp_path)

    def test_an_archive_without_the_tree_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("torchaudio.datasets.VoxCeleb1Identification", lambda *_, **__: None)
        with pytest.raises(CorpusError, match="did not contain wav"):
            VoxCelebSpec(root=str(tmp_path / "new"), download=True).build(tmp_path)
