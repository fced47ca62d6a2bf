"""Files made byte by byte: WAV chunks, FLAC blocks and frames, npy headers; and good ones."""

import io
import struct
from collections.abc import Sequence

import numpy as np
import soundfile

from shared.audio import to_int16, to_npy
from tests.support.victims import make_clips

RATE_HZ, SAMPLES, MOST = 4000, 1024, 256
"""What the victims of tests.support.victims take, and the service's most clips a request."""

CLIP = make_clips(1, SAMPLES, seed=7)[0]
PCM = to_int16(CLIP).astype("<i2").tobytes()


# ------------------------------------------------------------------------------------------- WAV


def chunk(name: bytes, data: bytes, size: int | None = None, order: str = "<") -> bytes:
    """One chunk; ``size`` is what it declares."""
    pad = b"\0" * (len(data) % 2)
    return name + struct.pack(order + "I", len(data) if size is None else size) + data + pad


def wav_format(
    tag: int = 1,
    channels: int = 1,
    rate_hz: int = RATE_HZ,
    bits: int = 16,
    *,
    frame_bytes: int | None = None,
    more: bytes = b"",
    order: str = "<",
) -> bytes:
    """The data of a format chunk, consistent unless told otherwise."""
    whole = (channels * bits // 8) % 65_536 if frame_bytes is None else frame_bytes
    per_s = rate_hz * whole % 2**32
    return struct.pack(order + "HHIIHH", tag, channels, rate_hz, per_s, whole, bits) + more


def riff(*chunks: bytes, size: int | None = None, magic: bytes = b"RIFF") -> bytes:
    """A RIFF file of ``chunks``."""
    body = b"WAVE" + b"".join(chunks)
    order = ">" if magic == b"RIFX" else "<"
    return magic + struct.pack(order + "I", len(body) if size is None else size) + body


def wav(form: bytes | None = None, data: bytes = PCM, *extra: bytes) -> bytes:
    """A WAV file; ``extra`` chunks come between format and data."""
    return riff(
        chunk(b"fmt ", wav_format() if form is None else form), *extra, chunk(b"data", data)
    )


def extensible(
    subtype: bytes = b"\1\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71",
    *,
    valid_bits: int = 16,
    mask: int = 4,
    declared: int = 22,
    channels: int = 1,
) -> bytes:
    """The data of a WAVE_FORMAT_EXTENSIBLE format chunk."""
    more = struct.pack("<HHI", declared, valid_bits, mask) + subtype
    return wav_format(0xFFFE, channels, more=more)


# ------------------------------------------------------------------------------------------ FLAC


def _crc(data: bytes, width: int, polynomial: int) -> int:
    crc, top = 0, 1 << (width - 1)
    for byte in data:
        crc ^= byte << (width - 8)
        for _ in range(8):
            crc = ((crc << 1) ^ (polynomial if crc & top else 0)) & ((1 << width) - 1)
    return crc


def streaminfo(
    rate_hz: int = RATE_HZ,
    channels: int = 1,
    bits: int = 16,
    total: int = SAMPLES,
    blocks: tuple[int, int] = (16, 65_535),
) -> bytes:
    """The data of a STREAMINFO block."""
    packed = (rate_hz << 44) | ((channels - 1) << 41) | ((bits - 1) << 36) | total
    return struct.pack(">HH", *blocks) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)


def block(kind: int, data: bytes, *, last: bool = False, size: int | None = None) -> bytes:
    """One metadata block; ``size`` is what it declares."""
    declared = len(data) if size is None else size
    return bytes([kind | 0x80 * last]) + declared.to_bytes(3, "big") + data


def frame(
    number: int = 0,
    samples: int = SAMPLES,
    *,
    channels: int = 1,
    value: int = 0,
    bits: int = 16,
    crc_fault: int = 0,
) -> bytes:
    """One FLAC frame of constant subframes: 11 bytes and 3 a channel for up to 65,536 samples."""
    width = {8: 1, 16: 4, 24: 6}[bits]
    numbered = bytes([number]) if number < 128 else bytes([0xC0 | number >> 6, 0x80 | number & 63])
    head = b"\xff\xf8\x70" + bytes([(channels - 1) << 4 | width << 1]) + numbered
    subframe = b"\0" + (value % 2**bits).to_bytes(bits // 8, "big")
    return checked_frame(head + struct.pack(">H", samples - 1), subframe * channels, crc_fault)


def checked_frame(head: bytes, body: bytes, crc_fault: int = 0) -> bytes:
    """Any header and body with the two checksums that make a FLAC frame of them."""
    whole = head + bytes([_crc(head, 8, 0x07)]) + body
    return whole + struct.pack(">H", _crc(whole, 16, 0x8005) ^ crc_fault)


def flac(
    *frames: bytes, info: bytes | None = None, blocks: Sequence[tuple[int, bytes]] = ()
) -> bytes:
    """A FLAC file of ``frames``, with more metadata ``blocks``."""
    first = block(0, streaminfo() if info is None else info, last=not blocks)
    rest = [
        block(kind, data, last=place == len(blocks) - 1)
        for place, (kind, data) in enumerate(blocks)
    ]
    return b"fLaC" + first + b"".join(rest) + b"".join(frames)


def encoded(
    wave: np.ndarray = CLIP,
    container: str = "FLAC",
    subtype: str = "PCM_16",
    rate_hz: int = RATE_HZ,
) -> bytes:
    """``wave`` as libsndfile writes it."""
    file = io.BytesIO()
    soundfile.write(file, wave, rate_hz, format=container, subtype=subtype)
    return file.getvalue()


# ------------------------------------------------------------------------------------------- npy


def npy(
    header: str, data: bytes = PCM, version: tuple[int, int] = (1, 0), size: int | None = None
) -> bytes:
    """An npy file with any header; ``size`` is the header's declared length."""
    text = header.encode("latin-1")
    layout = "<H" if version[0] == 1 else "<I"
    declared = struct.pack(layout, len(text) if size is None else size)
    return b"\x93NUMPY" + bytes(version) + declared + text + data


def npy_header(shape: object = (1, SAMPLES), descr: object = "<i2", fortran: object = False) -> str:
    """The text of an npy header."""
    return repr({"descr": descr, "fortran_order": fortran, "shape": shape}) + "\n"


GOOD_WAV = wav()
GOOD_FLAC = encoded()
GOOD_NPY = to_npy(to_int16(CLIP)[np.newaxis])
