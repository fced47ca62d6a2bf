import hashlib
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from shared import espeak
from shared.corpora import CorpusError, VoicesSpec
from shared.corpora.store import ClipStore
from shared.corpora.voice_text import tokens
from shared.corpora.voices import LANGUAGES, VARIANTS

TINY: dict[str, Any] = {"speakers": 3, "clips_per_speaker": 4}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("voices")


@pytest.fixture(params=["victim", "proxy"])
def spec(request: pytest.FixtureRequest) -> VoicesSpec:
    return VoicesSpec(cast=request.param, **TINY)


def hashes(spec: VoicesSpec, cache: Path) -> dict[str, str]:
    return {
        clip.clip_id: hashlib.sha256(clip.path.read_bytes()).hexdigest()
        for clip in spec.build(cache).clips
    }


class TestCasts:
    def test_they_share_no_variant_and_no_language(self) -> None:
        assert not set(VARIANTS["victim"]) & set(VARIANTS["proxy"])
        assert not set(LANGUAGES["victim"]) & set(LANGUAGES["proxy"])
        assert {language[:2] for language in LANGUAGES["victim"]} == {"en"}
        assert not any(language.startswith("en") for language in LANGUAGES["proxy"])

    def test_no_speaker_of_any_size_or_seed_is_in_both(self) -> None:
        for seed in range(5):
            victim = VoicesSpec(cast="victim", speakers=100, seed=seed).voices()
            proxy = VoicesSpec(cast="proxy", speakers=100, seed=seed).voices()
            assert not {v.variant for v in victim} & {v.variant for v in proxy}
            assert not {v.language for v in victim} & {v.language for v in proxy}

    def test_every_variant_and_language_exists(self) -> None:
        folder = espeak.data() / "voices" / "!v"
        installed = {path.name for path in folder.iterdir()}
        assert set(VARIANTS["victim"]) | set(VARIANTS["proxy"]) <= installed
        for language in (*LANGUAGES["victim"], *LANGUAGES["proxy"]):
            assert tokens(language, 12, np.random.default_rng(0))

    def test_the_defaults_are_those_of_the_demo(self) -> None:
        victim, proxy = VoicesSpec(cast="victim"), VoicesSpec(cast="proxy")
        assert (victim.speakers, victim.clips_per_speaker) == (20, 60)
        assert (proxy.speakers, proxy.clips_per_speaker) == (40, 30)
        assert VoicesSpec.model_validate(victim.model_dump()) == victim
        assert VoicesSpec(cast="victim", speakers=5).speakers == 5

    def test_speakers_are_distinct_and_spread(self) -> None:
        voices = VoicesSpec(cast="victim").voices()
        assert len({voice.name for voice in voices}) == 20
        assert len({voice.variant for voice in voices}) == 20
        pitches = sorted(voice.pitch for voice in voices)
        assert pitches[0] < 15
        assert pitches[-1] > 85
        assert min(b - a for a, b in pairwise(pitches)) >= 2
        assert all(140 <= voice.rate < 190 for voice in voices)

    def test_the_first_speakers_stay_when_more_are_asked_for(self) -> None:
        few, many = (VoicesSpec(cast="proxy", speakers=size).voices() for size in (3, 250))
        assert many[:3] == few
        assert len({voice.name for voice in many}) == 250

    def test_seeds_draw_other_speakers(self) -> None:
        assert VoicesSpec(cast="victim").voices() != VoicesSpec(cast="victim", seed=1).voices()


class TestBuild:
    def test_clips_are_speech_of_the_promised_shape(self, spec: VoicesSpec, cache: Path) -> None:
        corpus = spec.build(cache)
        assert len(corpus.speakers) == 3
        assert len(corpus.clips) == 12
        assert corpus.name == f"voices-{spec.cast}"
        for clip in corpus.clips:
            wave, rate = soundfile.read(clip.path)
            assert rate == espeak.SAMPLE_RATE_HZ
            assert wave.ndim == 1
            assert 1.3 <= len(wave) / rate <= 2.5
            assert np.sqrt(np.mean(wave**2)) > 0.01
            assert clip.clip_id == f"{clip.speaker}/{clip.path.name}"

    def test_two_builds_give_the_same_bytes(
        self, spec: VoicesSpec, cache: Path, tmp_path: Path
    ) -> None:
        assert hashes(spec, tmp_path) == hashes(spec, cache)

    def test_every_clip_differs(self, spec: VoicesSpec, cache: Path) -> None:
        assert len(set(hashes(spec, cache).values())) == 12

    def test_the_stores_of_both_casts_share_no_speaker_and_no_bytes(self, cache: Path) -> None:
        stores = [
            ClipStore.open(VoicesSpec(cast=cast, **TINY).build(cache), 4_000, cache)
            for cast in ("victim", "proxy")
        ]
        for key in ("speaker", "sha256"):
            victim, proxy = ({entry[key] for entry in store.manifest} for store in stores)
            assert victim
            assert not victim & proxy
        assert all(store.lengths.min() >= 4_096 for store in stores)

    def test_finished_speakers_are_not_spoken_again(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec = VoicesSpec(cast="victim", **TINY)
        before = hashes(spec, cache)
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it was spoken again"))
        assert hashes(spec, cache) == before

    def test_an_interrupted_build_goes_on(self, tmp_path: Path) -> None:
        spec = VoicesSpec(cast="victim", **TINY)
        before = hashes(spec, tmp_path)
        lost = spec.folder(tmp_path) / spec.voices()[1].name
        for path in lost.iterdir():
            path.unlink()
        lost.rmdir()
        reports: list[tuple[str, int, int]] = []
        spec.build(tmp_path, lambda *report: reports.append(report))
        assert reports == [("speaking the victim cast", 3, 3)]
        assert hashes(spec, tmp_path) == before

    def test_a_changed_spec_never_finds_old_audio(self, cache: Path) -> None:
        base = VoicesSpec(cast="victim", **TINY)
        others = [
            base.model_copy(update=change)
            for change in (
                {"seed": 1},
                {"clips_per_speaker": 5},
                {"speakers": 4},
                {"cast": "proxy"},
            )
        ]
        assert len({spec.folder(cache) for spec in (base, *others)}) == 5

    def test_no_scratch_is_left(self, spec: VoicesSpec, cache: Path) -> None:
        spec.build(cache)
        assert sorted(path.name for path in spec.folder(cache).iterdir()) == sorted(
            voice.name for voice in spec.voices()
        )


class TestTrouble:
    def broken(self, monkeypatch: pytest.MonkeyPatch, code: str, tmp_path: Path) -> None:
        worker = tmp_path / "worker.py"
        worker.write_text(code)
        spec = VoicesSpec(cast="victim", **TINY)
        spec.folder(tmp_path)  # the library's hash is taken before the worker is replaced
        monkeypatch.setattr(espeak, "__file__", str(worker))
        spec.build(tmp_path / "cache")

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("import sys; sys.exit('no such voice')", r"exit code 1\): no such voice"),
            ("import os; os.kill(os.getpid(), 11)", r"exit code -11\): no message"),
        ],
    )
    def test_a_crash_says_what_to_do(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, words: str
    ) -> None:
        with pytest.raises(CorpusError, match=f"{words}.*Install the locked requirements again"):
            self.broken(monkeypatch, code, tmp_path)
        assert not list((tmp_path / "cache").glob("*/*/*.wav"))
        assert not list((tmp_path / "cache").glob("*/.speaking-*"))

    @pytest.mark.parametrize(
        ("voice", "words"),
        [("en+nobody", "no voice variant 'nobody'"), ("xx+f1", "does not know the voice 'xx+f1'")],
    )
    def test_unknown_voices_are_refused_by_the_worker(
        self, tmp_path: Path, voice: str, words: str
    ) -> None:
        request = {
            **{"voice": voice, "pitch": 50, "range": 50, "rate": 160, "seed": 1},
            **{"folder": str(tmp_path), "shortest_s": 1, "longest_s": 2, "clips": []},
        }
        result = subprocess.run(
            [sys.executable, "-P", espeak.__file__],
            input=json.dumps(request),
            capture_output=True,
            text=True,
        )
        assert result.returncode == 1
        assert words in result.stderr


class TestText:
    @pytest.mark.parametrize("language", [*LANGUAGES["victim"], *LANGUAGES["proxy"]])
    def test_tokens_differ_and_include_numbers(self, language: str) -> None:
        rng = np.random.default_rng(0)
        drawn = [tokens(language, 12, rng) for _ in range(200)]
        assert len({tuple(item) for item in drawn}) == 200
        flat = [token for item in drawn for token in item]
        assert 0.1 < sum(token.isdigit() for token in flat) / len(flat) < 0.3
        assert len(set(flat) - {token for token in flat if token.isdigit()}) >= 30

    def test_languages_without_words_are_an_error(self) -> None:
        with pytest.raises(KeyError):
            tokens("xx", 3, np.random.default_rng(0))
