"""One speaker of the embedded voices, spoken by espeak-ng in a process of its own.

espeak-ng keeps hidden state from one utterance to the next, so only a fresh process that speaks the
same sequence gives the same bytes again. The parent therefore runs this file once per speaker, with
a JSON request on standard input (see `Request`), and finds the speaker's WAV files in the folder
that it named. Only the standard library and espeakng_loader are imported, to start in milliseconds.
"""

import ctypes
import json
import sys
import wave
from array import array
from pathlib import Path
from typing import TypedDict

import espeakng_loader

SAMPLE_RATE_HZ = 22_050
_RETRIEVAL = 1  # AUDIO_OUTPUT_RETRIEVAL: samples come through the callback, in the caller's thread
_DONT_EXIT = 0x8000  # on a bad installation, return an error instead of calling exit()
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_UTF8 = 1
_SILENCE = 200  # of 32,767: quieter samples at both ends are trimmed away
_ATTEMPTS = 6
_FIRST_GUESS = 4  # tokens in a clip; later clips start from what fitted the one before


class ClipRequest(TypedDict):
    """One clip: the tokens that it may use, in order, and its volume (100 is espeak-ng's own)."""

    name: str
    tokens: list[str]
    volume: int


class Request(TypedDict):
    """One speaker: voice is language+variant, pitch and range 0 to 99, rate in words a minute."""

    voice: str
    pitch: int
    range: int
    rate: int
    seed: int
    folder: str
    shortest_s: float
    longest_s: float
    clips: list[ClipRequest]


class EspeakError(RuntimeError):
    """The speech library could not be loaded, or refused the voice or the text."""


def library() -> Path:
    """The shared library that makes the speech; part of the identity of what it says."""
    return Path(espeakng_loader.get_library_path())


def data() -> Path:
    """The folder of phonemes, dictionaries and voice variants that belongs to `library()`."""
    return Path(espeakng_loader.get_data_path())


class Speaker:
    """One configured voice of a freshly initialised library.

    Raises:
        EspeakError: the library does not start, or does not know the language or the variant.
    """

    def __init__(self, voice: str, *, pitch: int, intonation: int, rate: int, seed: int) -> None:
        self._lib = ctypes.CDLL(str(library()))
        hertz = self._lib.espeak_Initialize(_RETRIEVAL, 0, str(data()).encode(), _DONT_EXIT)
        if hertz != SAMPLE_RATE_HZ:
            raise EspeakError(f"espeak_Initialize returned {hertz}, expected {SAMPLE_RATE_HZ}")
        self._heard = bytearray()
        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        self._callback = callback(self._hear)  # kept: the library holds only its address
        self._lib.espeak_SetSynthCallback(self._callback)
        self._lib.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        self._lib.espeak_ng_SetRandSeed(seed & 0x7FFFFFFF)
        variant = voice.partition("+")[2]
        # The library silently speaks with its default timbre when the variant is unknown.
        if variant and not (data() / "voices" / "!v" / variant).is_file():
            raise EspeakError(f"no voice variant {variant!r} in {data() / 'voices' / '!v'}")
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise EspeakError(f"espeak-ng does not know the voice {voice!r}")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, intonation)):
            self._lib.espeak_SetParameter(parameter, value, 0)

    def _hear(self, samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._heard += ctypes.string_at(samples, 2 * count)
        return 0

    def say(self, text: str, volume: int = 100) -> "array[int]":
        """The int16 samples of `text` at `SAMPLE_RATE_HZ`, without the silence at both ends."""
        self._heard.clear()
        self._lib.espeak_SetParameter(_VOLUME, volume, 0)
        spoken = text.encode()
        code = self._lib.espeak_Synth(spoken, len(spoken) + 1, 0, 1, 0, _UTF8, None, None)
        if code != 0 or self._lib.espeak_Synchronize() != 0:
            raise EspeakError(f"espeak-ng returned error {code} for the text {text!r}")
        return _trimmed(array("h", bytes(self._heard)))


def _trimmed(samples: "array[int]") -> "array[int]":
    first, last = 0, len(samples)
    while first < last and abs(samples[first]) < _SILENCE:
        first += 1
    while last > first and abs(samples[last - 1]) < _SILENCE:
        last -= 1
    return samples[first:last]


def _fitted(
    speaker: Speaker, request: Request, clip: ClipRequest, guess: int
) -> "tuple[array[int], int]":
    """Speaks as many tokens as fit the durations asked for; returns the samples and that number."""
    shortest = int(request["shortest_s"] * SAMPLE_RATE_HZ)
    longest = int(request["longest_s"] * SAMPLE_RATE_HZ)
    tokens, count = clip["tokens"], guess
    samples = array("h")
    for _ in range(_ATTEMPTS):
        samples = speaker.say(" ".join(tokens[:count]), clip["volume"])
        if not samples:
            raise EspeakError(f"{request['voice']} says nothing for {tokens[:count]}")
        if len(samples) < shortest and count < len(tokens):
            count += 1
        elif len(samples) > longest and count > 1:
            count -= 1
        else:
            break
    return samples[:longest], count


def _write(path: Path, samples: "array[int]") -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(samples.tobytes())


def speak(request: Request) -> None:
    """Writes one 16-bit mono WAV per clip of the request into its folder, which must exist.

    Raises:
        EspeakError: the library refused; nothing in the folder is to be trusted then.
    """
    speaker = Speaker(
        request["voice"],
        pitch=request["pitch"],
        intonation=request["range"],
        rate=request["rate"],
        seed=request["seed"],
    )
    guess = _FIRST_GUESS
    for clip in request["clips"]:
        samples, guess = _fitted(speaker, request, clip, guess)
        _write(Path(request["folder"]) / f"{clip['name']}.wav", samples)


if __name__ == "__main__":
    try:
        speak(json.load(sys.stdin))
    except (EspeakError, OSError) as error:
        sys.exit(f"{error}")
