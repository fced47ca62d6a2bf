"""`voices`: the embedded corpus, speech made offline by espeak-ng.

A speaker is a timbre (voice variant), a pitch, a rate and a language. The victim's cast speaks
dialects of English with one half of the variants, the proxy's cast speaks other languages with the
other half, so that the two differ as LibriSpeech and VoxCeleb differ, and never share a voice.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from pydantic import Field, model_validator

from shared import espeak
from shared.config import Frozen
from shared.corpora.base import Clip, Corpus, CorpusError, Progress
from shared.corpora.voice_text import TEXT_VERSION, tokens
from shared.runtime import available_processors
from shared.seeding import derive, numpy_stream

Cast = Literal["victim", "proxy"]

LANGUAGES: dict[Cast, tuple[str, ...]] = {
    "victim": (
        *("en-us", "en", "en-gb-scotland", "en-029"),
        *("en-gb-x-gbcwmd", "en-us-nyc", "en-gb-x-rp", "en-gb-x-gbclan"),
    ),
    "proxy": ("de", "fr", "es", "it", "pt", "nl", "pl", "sv", "tr"),
}
# Pairs of like pitch and character, so that the halves are alike as groups. Left out: whispers and
# near-silent voices, and every variant that sounds like another one of the list at 4 kHz.
_VARIANTS = """f1 f2  f3 f4  f5 Annie  Andrea Alicia  anika steph  belinda aunty  grandma shelby
Nguyen UniRobot  robosoft6 robosoft8  Alex Andy  Diogo Denis  m1 m2  m4 m3  m6 m7  m8 norbert
Gene Henrique  Jacky Lee  Marco Mario  Reed Michael  Storm announcer  adam antonio
RicishayMax boris  david ed  gustave ian  iven john  kaukovalta klatt  klatt3 klatt2  marcelo max
miguel michel  mike2 pablo  paul pedro  quincy rob  robosoft robert  robosoft7 robosoft3
sandro travis  victor Demonic""".split()
VARIANTS: dict[Cast, tuple[str, ...]] = {
    "victim": tuple(_VARIANTS[0::2]),
    "proxy": tuple(_VARIANTS[1::2]),
}
_SIZES: dict[Cast, tuple[int, int]] = {"victim": (20, 60), "proxy": (40, 30)}
_SHORTEST_S, _LONGEST_S = 1.3, 2.5
_TOKENS_PER_CLIP = 12
_VOLUMES = (40, 100)  # drawn per clip: like a recording level, it names no speaker
_GOLDEN = 0.6180339887498949
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Voice:
    """One embedded speaker."""

    language: str
    variant: str
    pitch: int
    rate: int

    @property
    def name(self) -> str:
        """The speaker's name, which is also the name of its folder."""
        return f"{self.language}-{self.variant}-p{self.pitch:02d}-r{self.rate}"


class VoicesSpec(Frozen):
    """Embedded speakers: a cast, its size, and the seed that draws speakers and sentences."""

    kind: Literal["voices"] = "voices"
    cast: Cast
    speakers: int = Field(ge=2, le=250)
    """Number of speakers; 20 for the victim and 40 for the proxy unless given."""
    clips_per_speaker: int = Field(ge=1, le=2000)
    """Clips of each speaker, 1.3 to 2.5 s long; 60 and 30 unless given."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _sizes_of_the_cast(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("cast") in _SIZES:
            speakers, clips = _SIZES[data["cast"]]
            return {"speakers": speakers, "clips_per_speaker": clips, **data}
        return data

    def voices(self) -> tuple[Voice, ...]:
        """The cast's speakers; the first ones stay the same when `speakers` grows."""
        variants, languages = VARIANTS[self.cast], LANGUAGES[self.cast]
        rng = numpy_stream(self.seed, "voices", self.cast)
        variant_order, language_order = (
            rng.permutation(len(variants)),
            rng.permutation(len(languages)),
        )
        pitch_start, rate_start = rng.random(2)
        found: dict[str, Voice] = {}
        place = 0
        while len(found) < self.speakers:
            voice = Voice(
                language=languages[language_order[place % len(languages)]],
                variant=variants[variant_order[place % len(variants)]],
                # The golden ratio spreads any number of speakers evenly over the range.
                pitch=int(5 + 90 * ((pitch_start + place * _GOLDEN) % 1)),
                rate=int(140 + 50 * ((rate_start + place * _GOLDEN * _GOLDEN) % 1)),
            )
            found.setdefault(voice.name, voice)
            place += 1
        return tuple(found.values())

    def folder(self, cache: Path) -> Path:
        """Where this spec's audio lies in `cache`; whatever changes the audio renames it."""
        identity = [self.model_dump(), [asdict(voice) for voice in self.voices()], TEXT_VERSION]
        text = json.dumps([*identity, _library_sha256()], sort_keys=True)
        return cache / f"voices-{self.cast}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def build(self, cache: Path, progress: Progress | None = None) -> Corpus:
        """Speaks what is not yet spoken, a few speakers at a time, and returns the corpus.

        A speaker's folder appears when it is complete, so that an interrupted build goes on where
        it stopped. The same spec gives the same bytes.

        Raises:
            CorpusError: espeak-ng failed; the message carries what it said.
        """
        root = self.folder(cache)
        root.mkdir(parents=True, exist_ok=True)
        voices = self.voices()
        missing = [voice for voice in voices if not (root / voice.name).is_dir()]
        done = len(voices) - len(missing)
        with ThreadPoolExecutor(available_processors()) as pool:
            jobs = [pool.submit(self._speak, voice, root) for voice in missing]
            try:
                for job in as_completed(jobs):
                    job.result()
                    done += 1
                    if progress:
                        progress(f"speaking the {self.cast} cast", done, len(voices))
            finally:
                pool.shutdown(cancel_futures=True)
        clips = [
            Clip(voice.name, root / voice.name / f"{name}.wav", f"{voice.name}/{name}.wav")
            for voice in voices
            for name in self._names()
        ]
        return Corpus.checked(f"voices-{self.cast}", clips, root)

    def _names(self) -> Iterator[str]:
        return (f"{number:04d}" for number in range(self.clips_per_speaker))

    def _speak(self, voice: Voice, root: Path) -> None:
        with TemporaryDirectory(prefix=".speaking-", dir=root) as scratch:
            folder = Path(scratch) / voice.name
            folder.mkdir()
            _run_worker(voice, self._request(voice, folder))
            try:
                folder.rename(root / voice.name)
            except OSError:
                # Another process built the same speaker meanwhile: the same bytes.
                if not (root / voice.name).is_dir():
                    raise
                shutil.rmtree(folder)

    def _request(self, voice: Voice, folder: Path) -> espeak.Request:
        rng = numpy_stream(self.seed, "voice-text", self.cast, voice.name)
        return {
            "voice": f"{voice.language}+{voice.variant}",
            "pitch": voice.pitch,
            "range": 50,
            "rate": voice.rate,
            "seed": derive(self.seed, "espeak", voice.name) % 2**31,
            "folder": str(folder),
            "shortest_s": _SHORTEST_S,
            "longest_s": _LONGEST_S,
            "clips": [
                {
                    "name": name,
                    "tokens": tokens(voice.language, _TOKENS_PER_CLIP, rng),
                    "volume": int(rng.integers(_VOLUMES[0], _VOLUMES[1] + 1)),
                }
                for name in self._names()
            ],
        }


def _run_worker(voice: Voice, request: espeak.Request) -> None:
    # -P: the worker's own folder must not shadow the standard library.
    command = [sys.executable, "-P", str(Path(espeak.__file__).resolve())]
    try:
        result = subprocess.run(
            command, input=json.dumps(request), capture_output=True, text=True, timeout=_TIMEOUT_S
        )
        trouble = "" if result.returncode == 0 else result.stderr.strip()[-400:] or "no message"
        code = result.returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        trouble, code = str(error), -1
    if trouble:
        raise CorpusError(
            f"espeak-ng could not speak {voice.name} (exit code {code}): {trouble}. Install the "
            "locked requirements again (package espeakng-loader), check that the disk has room, "
            "and repeat the command: finished speakers are kept."
        )


@lru_cache(maxsize=1)
def _library_sha256() -> str:
    digest = hashlib.sha256()
    for path in (espeak.library(), espeak.data() / "phondata", Path(espeak.__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()
