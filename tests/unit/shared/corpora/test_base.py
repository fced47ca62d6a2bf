from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

import shared.corpora
from shared.corpora import Clip, Corpus, CorpusError, CorpusSpec, SpeakerTreeSpec, VoicesSpec
from shared.corpora.base import audio_files, existing_folder


def clip(name: str) -> Clip:
    return Clip(name.partition("/")[0], Path("/x") / name, name)


def test_a_corpus_sorts_its_clips_and_names_its_speakers() -> None:
    corpus = Corpus.checked("c", [clip("b/1.wav"), clip("a/2.wav"), clip("a/1.wav")], Path("/x"))
    assert [item.clip_id for item in corpus.clips] == ["a/1.wav", "a/2.wav", "b/1.wav"]
    assert corpus.speakers == ("a", "b")


def test_no_audio_and_one_speaker_are_clear_errors() -> None:
    with pytest.raises(CorpusError, match=r"/x: no audio found\. Put WAV or FLAC"):
        Corpus.checked("c", [], Path("/x"))
    with pytest.raises(CorpusError, match=r"the only speaker is 'a'\. Add at least one more"):
        Corpus.checked("c", [clip("a/1.wav"), clip("a/2.wav")], Path("/x"))


def test_paths_expand_home_and_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "speech").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPEECH_HERE", str(tmp_path))
    assert existing_folder("~/speech") == tmp_path / "speech"
    assert existing_folder("${SPEECH_HERE}/speech") == tmp_path / "speech"


def test_a_missing_folder_names_the_path_and_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=rf"{tmp_path}/absent: no such folder.*Set `root`"):
        existing_folder(f"{tmp_path}/absent")


@pytest.mark.parametrize("root", ["$NOT_THERE/x", "${NOT_THERE}/x", "~/$NOT_THERE"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set_is_named(
    monkeypatch: pytest.MonkeyPatch, root: str, value: str | None
) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    if value is not None:
        monkeypatch.setenv("NOT_THERE", value)
    with pytest.raises(CorpusError) as caught:
        existing_folder(root)
    message = str(caught.value)
    assert message.startswith(f"{root}: the environment variable NOT_THERE is not set. Set it")
    assert "export NOT_THERE=" in message


def test_a_dollar_that_names_nothing_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "5$").mkdir()
    assert existing_folder(f"{tmp_path}/5$") == tmp_path / "5$"


def test_audio_is_found_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a.wav", "B.FLAC", "deep/er/c.Wav", ".hidden.wav", ".git/d.wav", "e.mp3", "wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {path.relative_to(tmp_path).as_posix() for path in audio_files(tmp_path)}
    assert found == {"a.wav", "B.FLAC", "deep/er/c.Wav"}


@pytest.mark.timeout(10)
def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "a.wav").touch()
    (outside / "b.wav").touch()
    (inside / "out").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    (outside / "back").symlink_to(inside)
    (inside / "self").symlink_to("self")
    (inside / "gone").symlink_to(tmp_path / "nowhere")
    assert sorted(path.name for path in audio_files(inside)) == ["a.wav", "b.wav"]


def test_the_order_is_the_same_everywhere(tmp_path: Path) -> None:
    for name in ("b.wav", "a/z.wav", "a/b.wav", "c/a.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in audio_files(tmp_path)]
    assert found == ["b.wav", "a/b.wav", "a/z.wav", "c/a.wav"]


class TestTable:
    adapter: TypeAdapter[SpeakerTreeSpec | VoicesSpec] = TypeAdapter(CorpusSpec)

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            ({"kind": "speaker_tree", "root": "/x"}, SpeakerTreeSpec(root="/x")),
            ({"kind": "voices", "cast": "proxy"}, VoicesSpec(cast="proxy")),
            ({"kind": "librispeech", "root": "/x"}, shared.corpora.LibriSpeechSpec(root="/x")),
            (
                {"kind": "voxceleb", "root": "/x", "parts": ["test"]},
                shared.corpora.VoxCelebSpec(root="/x", parts=("test",)),
            ),
        ],
    )
    def test_each_kind_is_chosen_and_survives_json(self, data: object, expected: object) -> None:
        spec = self.adapter.validate_python(data)
        assert spec == expected
        assert self.adapter.validate_json(self.adapter.dump_json(spec)) == spec

    @pytest.mark.parametrize(
        "data",
        [
            {"kind": "tapes", "root": "/x"},
            {"root": "/x"},
            {"kind": "speaker_tree"},
            {"kind": "speaker_tree", "root": "/x", "speakers": 3},
            {"kind": "voices", "cast": "chorus"},
            {"kind": "voices", "cast": "victim", "speakers": 1},
            {"kind": "voices", "cast": "victim", "clips_per_speaker": 0},
            {"kind": "librispeech", "root": "/x", "subsets": ["train-dirty"]},
            {"kind": "librispeech", "root": "/x", "subsets": []},
            {"kind": "voxceleb", "root": "/x", "parts": []},
        ],
    )
    def test_what_does_not_fit_is_refused(self, data: object) -> None:
        with pytest.raises(ValidationError):
            self.adapter.validate_python(data)

    def test_all_names_are_exported_in_order(self) -> None:
        assert list(shared.corpora.__all__) == sorted(shared.corpora.__all__)
        assert all(hasattr(shared.corpora, name) for name in shared.corpora.__all__)
