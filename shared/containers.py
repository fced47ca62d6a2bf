"""What of a WAV, FLAC or npy body reaches a decoder: headers walked, bounded and written anew.

libsndfile knows dozens of kinds of chunks, blocks and codecs, and follows whatever a file says for
as long as it goes on. Of a request it is shown a format that was checked here, and audio data.
"""

import io
import re
import struct
from typing import Any, NamedTuple

MAX_CHANNELS = 2
_MAX_CHUNKS = 64

_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_WAV_BITS = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}
_FLAC_BITS = (8, 16, 24)
_STREAMINFO_BYTES = 34
_TOTAL_BITS = 36

_NPY_MAGIC = b"\x93NUMPY"
NPY_MAX_HEADER_BYTES = 4_096
_NPY_ITEM = re.compile(
    r"\s*(?P<quote>['\"])(?:"
    r"descr(?P=quote)\s*:\s*(?P<mark>['\"])(?P<descr>[<>|=]?[A-Za-z?]\d{0,3})(?P=mark)"
    r"|fortran_order(?P=quote)\s*:\s*(?P<fortran>True|False)"
    r"|shape(?P=quote)\s*:\s*\(\s*(?P<shape>(?:\d{1,20}\s*,\s*)*(?:\d{1,20}\s*)?)\)"
    r")\s*(?P<end>,|\Z)",
    re.ASCII,
)
_MAX_DIMENSIONS = 8


class AudioError(ValueError):
    """Audio that is refused. `code` is a code of `shared.errors.PROBLEMS`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NpyHeader(NamedTuple):
    """What the header of an npy body declares; none of it is checked against the data."""

    descr: str
    fortran: bool
    shape: tuple[int, ...]
    offset: int
    """First byte of the data."""


class SteppedFile:
    """A body as the file that libsndfile reads, a few bytes at a time.

    libFLAC looks only between two reads whether a frame was refused. Frames that are thrown away
    cost their writer 30 bytes and the reader half a million samples each, so that a long read would
    let a short body keep a processor busy for a tenth of a second.
    """

    def __init__(self, body: bytes, step_bytes: int) -> None:
        self._file = io.BytesIO(body)
        self._step_bytes = step_bytes

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move as a file does; a place before the beginning is the beginning."""
        try:
            return self._file.seek(offset, whence)
        except (ValueError, OverflowError):  # raised into C, it would be printed to the log
            return self._file.seek(0)

    def tell(self) -> int:
        """Return the place in bytes."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Fill the beginning of `buffer` with the next bytes and return how many."""
        return self._file.readinto(memoryview(buffer)[: self._step_bytes])


def _broken(message: str) -> AudioError:
    return AudioError("undecodable-audio", message)


def _check(
    rate_hz: int, channels: int, bits: int, allowed: tuple[int, ...], wanted_hz: int
) -> None:
    if rate_hz != wanted_hz:
        raise AudioError(
            "wrong-sample-rate", f"{rate_hz} Hz, expected {wanted_hz} Hz. Resample the clip"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise _broken(f"{channels} channels; send at most {MAX_CHANNELS}")
    if bits not in allowed:
        raise _broken(f"{bits} bits a sample; send {' or '.join(map(str, allowed))}")


# ------------------------------------------------------------------------------------------- WAV


def lean_wav(body: bytes, sample_rate_hz: int, max_frames: int) -> bytes:
    """Return a WAV file of only the format and the first `max_frames` frames of `body`.

    Sizes that lie are mended: what is there counts, up to the size of the data chunk. Chunks other
    than the first format and the first data are left away.

    Raises:
        AudioError: no PCM or float WAV ("undecodable-audio") of one or two channels at
            `sample_rate_hz` ("wrong-sample-rate").
    """
    if body[:4] not in (b"RIFF", b"RIFX") or body[8:12] != b"WAVE":
        raise _broken("the body is not WAV, as its type says")
    order = "<" if body[3:4] == b"F" else ">"
    form, start, stop = _wav_chunks(body, order)
    if len(form) < 16:
        raise _broken("the WAV format is cut short")
    tag, channels, rate_hz, _, frame_bytes, bits = struct.unpack_from(order + "HHIIHH", form)
    if tag == _EXTENSIBLE and len(form) >= 40:
        (tag,) = struct.unpack_from(order + "H", form, 24)
    if tag not in _WAV_BITS:
        raise _broken(f"WAV format 0x{tag:04X} is not supported. Use PCM")
    _check(rate_hz, channels, bits, _WAV_BITS[tag], sample_rate_hz)
    if frame_bytes != channels * bits // 8:
        raise _broken(f"the WAV format contradicts itself: {frame_bytes} bytes a frame")
    frames = min((stop - start) // frame_bytes, max_frames)
    data = body[start : start + frames * frame_bytes]
    lean = struct.pack(
        order + "HHIIHH", tag, channels, rate_hz, rate_hz * frame_bytes, frame_bytes, bits
    )
    return b"".join(
        (
            body[:4] + struct.pack(order + "I", 36 + len(data)) + b"WAVE",
            b"fmt " + struct.pack(order + "I", len(lean)) + lean,
            b"data" + struct.pack(order + "I", len(data)) + data,
        )
    )


def _wav_chunks(body: bytes, order: str) -> tuple[bytes, int, int]:
    """Return the first format chunk, and where the data chunk after it starts and stops."""
    form, place = None, 12
    for _ in range(_MAX_CHUNKS):
        if place + 8 > len(body):
            raise _broken("the WAV file has no audio data")
        (size,) = struct.unpack_from(order + "I", body, place + 4)
        name, start = body[place : place + 4], place + 8
        if name == b"data":
            if form is None:
                raise _broken("the WAV file has no format before its audio data")
            return form, start, min(start + size, len(body))
        if name == b"fmt " and form is None:
            form = body[start : start + min(size, 64)]
        place = start + size + size % 2
    raise _broken(f"more than {_MAX_CHUNKS} chunks before the audio data. Strip the metadata")


# ------------------------------------------------------------------------------------------ FLAC


class LeanFlac(NamedTuple):
    """A FLAC body without its metadata; `with_total` makes a file of it."""

    streaminfo: bytes
    frames: bytes
    total: int
    """Samples that the header declares; 0 when it does not know."""

    def with_total(self, total: int) -> bytes:
        """Return a FLAC file that declares `total` samples."""
        packed = int.from_bytes(self.streaminfo[10:18], "big")
        packed = (packed >> _TOTAL_BITS << _TOTAL_BITS) | total
        info = self.streaminfo[:10] + packed.to_bytes(8, "big") + self.streaminfo[18:]
        return b"fLaC\x80" + len(info).to_bytes(3, "big") + info + self.frames


def lean_flac(body: bytes, sample_rate_hz: int) -> LeanFlac:
    """Return the stream header and the frames of `body`; tags, pictures and tables are left away.

    Raises:
        AudioError: no FLAC of 8, 16 or 24 bits ("undecodable-audio") and one or two channels at
            `sample_rate_hz` ("wrong-sample-rate").
    """
    if body[:4] != b"fLaC":
        raise _broken("the body is not FLAC, as its type says")
    info, place = b"", 4
    for number in range(_MAX_CHUNKS):
        head = body[place : place + 4]
        size = int.from_bytes(head[1:], "big")
        last, kind = bool(head[:1] >= b"\x80"), head[0] & 0x7F if head else 127
        if len(head) < 4 or place + 4 + size > len(body):
            raise _broken("the FLAC header is cut short")
        if (
            (kind == 0) != (number == 0)
            or kind == 127
            or (not number and size != _STREAMINFO_BYTES)
        ):
            raise _broken("the FLAC header is not one")
        if number == 0:
            info = body[place + 4 : place + 4 + size]
        place += 4 + size
        if last:
            break
    else:
        raise _broken(f"more than {_MAX_CHUNKS} FLAC metadata blocks. Strip the metadata")
    packed = int.from_bytes(info[10:18], "big")
    rate_hz, channels = packed >> 44, (packed >> 41 & 7) + 1
    _check(rate_hz, channels, (packed >> 36 & 31) + 1, _FLAC_BITS, sample_rate_hz)
    return LeanFlac(info, body[place:], packed & (1 << _TOTAL_BITS) - 1)


# ------------------------------------------------------------------------------------------- npy


def npy_header(body: bytes) -> NpyHeader:
    """Return what an npy body of format 1.0 to 3.0 declares.

    The header is matched against the few forms that arrays of plain numbers have; nothing of it is
    evaluated.

    Raises:
        AudioError: "undecodable-audio".
    """
    broken = _broken("the body is not in numpy's file format 1.0 to 3.0, or holds no plain numbers")
    if body[:6] != _NPY_MAGIC or len(body) < 12 or body[6] not in (1, 2, 3) or body[7] != 0:
        raise broken
    layout, start = ("<H", 10) if body[6] == 1 else ("<I", 12)
    (length,) = struct.unpack_from(layout, body, 8)
    if length > NPY_MAX_HEADER_BYTES or start + length > len(body):
        raise broken
    text = body[start : start + length].decode("latin-1").strip()
    if text[:1] != "{" or text[-1:] != "}":
        raise broken
    found = _npy_items(text[1:-1].strip())
    if found.keys() != {"descr", "fortran", "shape"}:
        raise broken
    shape = tuple(int(size) for size in found["shape"].split(",") if size.strip())
    if len(shape) > _MAX_DIMENSIONS or max(shape, default=0) >= 2**63:
        raise broken
    if len(shape) == 1 and "," not in found["shape"]:
        raise broken  # (5) is a number, not a tuple
    return NpyHeader(found["descr"], found["fortran"] == "True", shape, start + length)


def _npy_items(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    place = 0
    while place < len(text):
        item = _NPY_ITEM.match(text, place)
        if item is None or len(found) == 3:
            return {}
        for name in ("descr", "fortran", "shape"):
            if item[name] is not None:
                if name in found:
                    return {}
                found[name] = item[name]
        place = item.end()
        if not item["end"]:
            break
    return found
