"""The only decoder: bounded WAV, FLAC and npy -> float32 in [-1, 1]; resampling; fixed length.

Nothing here trusts a header: memory follows the bytes that are really there and the caps of the
caller, never a declared length. What comes over the wire is cut to the bone by `shared.containers`
before libsndfile sees it.

Convention: int16 = round(32768 x float), clipped, so that int16 -> float -> int16 is the identity.
"""

import contextlib
import io
import os
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from shared.containers import (
    MAX_CHANNELS,
    NPY_MAX_HEADER_BYTES,
    LeanFlac,
    SteppedFile,
    lean_flac,
    lean_wav,
    npy_header,
)
from shared.containers import AudioError as AudioError

Float32 = npt.NDArray[np.float32]
Int16 = npt.NDArray[np.int16]

MAX_FILE_SECONDS = 120.0
_MIN_RATE_HZ, _MAX_RATE_HZ = 1_000, 384_000
_MAX_FILE_CHANNELS = 8
_MAX_WIRE_HEADER_BYTES = 65_536
_BLOCK_FRAMES = 65_536
_FLAC_STEP_BYTES = 256
_CONTAINERS = frozenset({"WAV", "WAVEX", "FLAC"})
_SUBTYPES = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
_WIRE_TYPES = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "application/x-npy": "npy",
}
_CLIP_DTYPES = frozenset({"<i2", ">i2", "<f4", ">f4"})
_ARRAY_DTYPES = frozenset(
    [order + kind for order in "<>" for kind in ("i2", "i4", "i8", "f4", "f8")] + ["|i1", "|u1"]
)


# ---------------------------------------------------------------------------------- conversions


def to_int16(wave: npt.NDArray[np.floating[Any]]) -> Int16:
    """Float samples in [-1, 1], any shape, as int16; what lies outside is clipped."""
    scaled = np.rint(np.asarray(wave, dtype=np.float32) * np.float32(32_768))
    clipped: Int16 = np.clip(scaled, -32_768, 32_767).astype(np.int16)
    return clipped


def from_int16(wave: npt.NDArray[np.integer[Any]]) -> Float32:
    """int16 samples, any shape, as float32 in [-1, 1)."""
    scaled: Float32 = np.multiply(wave, np.float32(1 / 32_768), dtype=np.float32)
    return scaled


def plain_samples(clips: Float32) -> Float32:
    """Return ``clips`` of any shape as bytes that are the same wherever they sound the same."""
    # Little-endian by name, so that replicas on other machines agree; adding 0 makes -0 into 0.
    return np.ascontiguousarray(clips + np.float32(0), dtype="<f4")


def fix_length(wave: Float32, samples: int, start: int = 0) -> Float32:
    """`samples` samples of `wave` (T,) from `start` on, zero-padded at the end if it is short."""
    piece = wave[start : start + samples]
    if len(piece) == samples:
        return piece
    fixed = np.zeros(samples, dtype=wave.dtype)
    fixed[: len(piece)] = piece
    return fixed


@lru_cache(maxsize=32)
def _resampler(from_hz: int, to_hz: int) -> Any:
    import torchaudio  # it and torch take seconds to import, and decoding needs neither

    return torchaudio.transforms.Resample(from_hz, to_hz)


def resample(wave: Float32, from_hz: int, to_hz: int) -> Float32:
    """`wave` (..., T) at another rate by torchaudio's windowed sinc; T becomes ceil(T to/from)."""
    if from_hz == to_hz:
        return wave
    import torch

    with torch.inference_mode():
        # A copy when needed: torch refuses to wrap read-only memory quietly.
        source = torch.from_numpy(np.require(wave, np.float32, ["C", "W"]))
        resampled: Float32 = _resampler(from_hz, to_hz)(source).numpy()
    return resampled


def resample_many(waves: Sequence[Float32], from_hz: int, to_hz: int) -> list[Float32]:
    """Each wave (T_i,) as `resample` gives it, in one call: several times faster for short ones."""
    if not waves:
        return []
    longest = max(len(wave) for wave in waves)
    # Resampling takes what lies beyond the end as zeros, so that padding by zeros changes nothing.
    padded = np.zeros((len(waves), longest), dtype=np.float32)
    for row, wave in zip(padded, waves, strict=True):
        row[: len(wave)] = wave
    resampled = resample(padded, from_hz, to_hz)
    return [
        row[: -(-len(wave) * to_hz // from_hz)] for row, wave in zip(resampled, waves, strict=True)
    ]


# ----------------------------------------------------------------------------------------- files


def read_audio(path: Path, sample_rate_hz: int, max_seconds: float = MAX_FILE_SECONDS) -> Float32:
    """The WAV or FLAC file at `path` as (T,) float32 in [-1, 1], mono, at `sample_rate_hz`.

    Channels are averaged; float files louder than 1 are clipped; what follows `max_seconds` is
    left away.

    Raises:
        AudioError: the file cannot be read or decoded, is empty, or holds NaN or infinite samples.
    """
    wave, rate_hz = read_native(path, max_seconds)
    return np.clip(resample(wave, rate_hz, sample_rate_hz), -1, 1)


def read_native(path: Path, max_seconds: float = MAX_FILE_SECONDS) -> tuple[Float32, int]:
    """As `read_audio`, at the file's own rate: (samples (T,), rate in Hz), not clipped."""
    try:
        if not path.is_file():  # a pipe or a device would block for ever
            raise AudioError("undecodable-audio", "not a regular file")
        # By name: through a Python file object libsndfile calls back for every few bytes.
        with _sound(os.fsencode(path)) as sound:
            rate_hz = sound.samplerate
            wave = _mono(sound, int(max_seconds * rate_hz), _MAX_FILE_CHANNELS)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise AudioError("undecodable-audio", f"cannot be read: {reason}") from error
    if len(wave) == 0:
        raise AudioError("undecodable-audio", "holds no samples")
    _require_finite(wave)
    return wave, rate_hz


def _sound(file: SteppedFile | bytes) -> soundfile.SoundFile:
    try:
        sound = soundfile.SoundFile(file)
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        raise AudioError("undecodable-audio", "not a WAV or FLAC file that can be read") from error
    if sound.format not in _CONTAINERS or sound.subtype not in _SUBTYPES:
        kind = f"{sound.format} {sound.subtype}"
        sound.close()
        raise AudioError("undecodable-audio", f"{kind} is not supported. Use PCM WAV or FLAC")
    if not _MIN_RATE_HZ <= sound.samplerate <= _MAX_RATE_HZ:
        rate = sound.samplerate
        sound.close()
        raise AudioError("wrong-sample-rate", f"a sample rate of {rate} Hz is not plausible")
    return sound


def _mono(sound: soundfile.SoundFile, max_frames: int, max_channels: int) -> Float32:
    """Up to `max_frames` frames (T,), block by block: memory follows the data, not the header."""
    if sound.channels > max_channels:
        raise AudioError(
            "undecodable-audio", f"{sound.channels} channels; send at most {max_channels}"
        )
    blocks: list[Float32] = []
    missing = max_frames
    try:
        while missing > 0:
            wanted = min(missing, _BLOCK_FRAMES)
            block = sound.read(wanted, dtype="float32", always_2d=True)
            # Infinite samples are refused later; numpy need not write of them to the log now.
            with np.errstate(over="ignore", invalid="ignore"):
                blocks.append(block[:, 0] if sound.channels == 1 else block.mean(axis=1))
            if len(block) < wanted:
                break
            missing -= wanted
    except (soundfile.SoundFileError, RuntimeError, MemoryError) as error:
        raise AudioError("undecodable-audio", "the audio data is damaged") from error
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)


def _require_finite(wave: npt.NDArray[Any]) -> tuple[float, float]:
    # min and max carry NaN and infinity along: two passes, no mask.
    low, high = float(wave.min()), float(wave.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise AudioError("not-finite", "holds NaN or infinite samples. Clean it first")
    return low, high


# ------------------------------------------------------------------------------------------ wire


def decode_clips(
    body: bytes, content_type: str, *, sample_rate_hz: int, clip_samples: int, max_clips: int
) -> Float32:
    """The clips of one request body as (B, T) float32 in [-1, 1], T = `clip_samples`.

    `audio/wav` and `audio/flac` carry one clip of one or two channels; `application/x-npy` carries
    int16 or float32 of shape (B, T) or (T,).

    Raises:
        AudioError: with the code of the problem to answer. "unsupported-media-type": the type is
            not one of these; "too-large": more clips or bytes than allowed; "undecodable-audio":
            the bytes are not what the type says; "wrong-sample-rate", "wrong-length", "not-finite";
            "out-of-range": float samples outside [-1, 1].
    """
    kind = _WIRE_TYPES.get(content_type.partition(";")[0].strip().lower())
    if kind is None:
        raise AudioError(
            "unsupported-media-type",
            f"{content_type[:80]!r} is not accepted. Send audio/wav, audio/flac or "
            "application/x-npy",
        )
    if kind == "npy":
        clips = _decode_npy(body, clip_samples, max_clips)
    else:
        clips = _decode_sound(body, kind, sample_rate_hz, clip_samples)
    if clips.dtype == np.int16:
        return from_int16(clips)
    low, high = _require_finite(clips)
    if low < -1 or high > 1:
        raise AudioError(
            "out-of-range", f"samples span [{low:.3g}, {high:.3g}], allowed is [-1, 1]. Scale them"
        )
    return clips


def _decode_sound(body: bytes, kind: str, sample_rate_hz: int, clip_samples: int) -> Float32:
    # Eight bytes a sample is the widest PCM; FLAC exceeds that by no more than its header.
    if len(body) > _MAX_WIRE_HEADER_BYTES + clip_samples * 8 * MAX_CHANNELS:
        raise AudioError("too-large", f"{len(body)} bytes for one clip of {clip_samples} samples")
    if kind == "wav":
        lean = lean_wav(body, sample_rate_hz, clip_samples + 1)
        wave = _read_sound(lean, len(lean), clip_samples + 1)
    else:
        wave = _read_flac(lean_flac(body, sample_rate_hz), clip_samples)
    if len(wave) != clip_samples:
        found = f"more than {clip_samples}" if len(wave) > clip_samples else str(len(wave))
        raise AudioError("wrong-length", f"{found} samples, expected exactly {clip_samples}")
    return wave[np.newaxis]


def _read_sound(body: bytes, step_bytes: int, max_frames: int) -> Float32:
    with _sound(SteppedFile(body, step_bytes)) as sound:
        return _mono(sound, max_frames, MAX_CHANNELS)


def _read_flac(flac: LeanFlac, clip_samples: int) -> Float32:
    """Return `clip_samples` or `clip_samples` + 1 samples, or as many as the header declares."""

    def read(samples: int) -> Float32:
        return _read_sound(flac.with_total(samples), _FLAC_STEP_BYTES, samples)

    if flac.total not in (0, clip_samples):
        # A header that lies is refused for what it says: nothing is decoded for it.
        raise AudioError("wrong-length", f"{flac.total} samples, expected exactly {clip_samples}")
    if flac.total == 0:
        # Written by a program that could not go back to fill it in. libsndfile reads what a header
        # declares and fails when that is not there: one sample more must fail, and the clip not.
        with contextlib.suppress(AudioError):
            return read(clip_samples + 1)
    return read(clip_samples)


def _decode_npy(body: bytes, clip_samples: int, max_clips: int) -> npt.NDArray[Any]:
    if len(body) > max_clips * clip_samples * 4 + NPY_MAX_HEADER_BYTES:
        raise AudioError("too-large", f"{len(body)} bytes; at most {max_clips} clips a request")
    descr, fortran, shape, offset = npy_header(body)
    if descr not in _CLIP_DTYPES:
        raise AudioError("undecodable-audio", f"dtype {descr!r}. Send int16 or float32")
    if len(shape) not in (1, 2) or shape[-1] != clip_samples or shape[0] == 0:
        raise AudioError(
            "wrong-length",
            f"shape {shape}, expected ({clip_samples},) or (B, {clip_samples}) with B >= 1",
        )
    if len(shape) == 2 and shape[0] > max_clips:
        raise AudioError("too-large", f"{shape[0]} clips; at most {max_clips} a request")
    clips = _npy_data(body, descr, fortran, shape, offset).reshape(-1, clip_samples)
    if descr[1:] == "i2":
        return clips.astype(np.int16, order="C", copy=False)  # what is made of them is a copy
    return clips.astype(np.float32, order="C")


# ------------------------------------------------------------------------------------------- npy


def to_npy(array: npt.NDArray[Any]) -> bytes:
    """`array` in numpy's file format; Raises ValueError for arrays of objects."""
    if array.dtype.hasobject or not array.flags.c_contiguous:
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.asanyarray(array), allow_pickle=False)
        return buffer.getvalue()
    return _npy_start(array.dtype.str, array.shape) + array.tobytes()


@lru_cache(maxsize=256)
def _npy_start(descr: str, shape: tuple[int, ...]) -> bytes:
    """What a file of such an array begins with: writing it costs more than a short answer."""
    buffer = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def from_npy(body: bytes, *, max_bytes: int) -> npt.NDArray[Any]:
    """The numeric array in `body`, which is in numpy's file format; a copy, C-ordered.

    Raises:
        AudioError: "too-large" for more than `max_bytes`; "undecodable-audio" for anything that is
            not a whole array of plain integers or floats (objects are never loaded).
    """
    if len(body) > max_bytes:
        raise AudioError("too-large", f"{len(body)} bytes; at most {max_bytes} are accepted")
    descr, fortran, shape, offset = npy_header(body)
    if descr not in _ARRAY_DTYPES:
        raise AudioError("undecodable-audio", f"dtype {descr!r} is not a plain number")
    return np.array(_npy_data(body, descr, fortran, shape, offset), order="C")


def _npy_data(
    body: bytes, descr: str, fortran: bool, shape: tuple[int, ...], offset: int
) -> npt.NDArray[Any]:
    """A view of the body's array; the declared shape must match the bytes exactly."""
    dtype = np.dtype(descr)
    declared, present = prod(shape) * dtype.itemsize, len(body) - offset
    if declared != present:
        raise AudioError(
            "undecodable-audio", f"shape {shape} needs {declared} bytes, the body holds {present}"
        )
    flat = np.frombuffer(body, dtype=dtype, offset=offset)
    return flat.reshape(shape, order="F" if fortran else "C")


def to_wav(wave: npt.NDArray[np.floating[Any]], sample_rate_hz: int) -> bytes:
    """`wave` (T,) in [-1, 1] as a 16-bit mono WAV file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, to_int16(wave), sample_rate_hz, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
