"""Bodies that are no audio at all, and audio under types that are not sold."""

import gzip
import io
import zipfile
import zlib

from tests.hostile.corpus import FLAC, NPY, OK, TYPE, UNDECODABLE, WAV, Make, add, hostile
from tests.hostile.make import CLIP, GOOD_FLAC, GOOD_NPY, GOOD_WAV, chunk, encoded


def _html() -> bytes:
    return b"<!doctype html><script>alert(1)</script>" + GOOD_WAV


_MEMBER = zipfile.ZipInfo("clip.wav", date_time=(1980, 1, 1, 0, 0, 0))


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        # A name alone would be stamped with the time of writing: other bytes every two seconds.
        archive.writestr(_MEMBER, bytes(4_000_000), zipfile.ZIP_DEFLATED)
    return file.getvalue()


def _png() -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\xff\xff\xff\xff" * 4 + zlib.compress(bytes(10**6))


def _elf() -> bytes:
    return b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\x3e\0" + bytes(1_000)


def _gzip() -> bytes:
    return gzip.compress(GOOD_WAV, mtime=0)


def _xml() -> bytes:
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 9}">' for i in range(1, 20))
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "x">{entities}]><x>&a19;</x>'.encode()


_STRANGERS: dict[str, Make] = {
    "nothing": lambda: b"",
    "one_byte": lambda: b"R",
    "zeros": lambda: bytes(4_096),
    "ones": lambda: b"\xff" * 4_096,
    "html": _html,
    "zip": _zip,
    "png": _png,
    "elf": _elf,
    "gzip": _gzip,
    "xml": _xml,
}
for _name, _make in _STRANGERS.items():
    for _short, _type in (("wav", WAV), ("flac", FLAC), ("npy", NPY)):
        add(f"{_name}_as_{_short}", _type, _make, UNDECODABLE)

for _place, _type in enumerate(
    (
        *("", "audio/", "/", "audio/mpeg", "audio/ogg", "audio/basic", "audio/aiff", "audio/*"),
        *("application/octet-stream", "application/json", "text/html", "multipart/form-data"),
        *("audio/wav, audio/flac", "audio/wav audio/flac", "x" * 4_000),
        *("application/x-npz", "application/python-pickle", ";audio/wav", "audio/wavx"),
    )
):
    add(f"wav_of_type_{_place}", _type, lambda: GOOD_WAV, TYPE)
for _place, _type in enumerate(
    ("AUDIO/WAV", "audio/wav; codecs=85", "audio/x-wav;", "audio/wave;charset=utf-8")
):
    add(f"wav_of_legal_type_{_place}", _type, lambda: GOOD_WAV, OK)


@hostile("audio/mpeg", TYPE)
def mp3() -> bytes:
    return encoded(CLIP, "MP3", "MPEG_LAYER_III", 8000)


@hostile(WAV, OK)
def wav_with_a_zip_at_its_end() -> bytes:
    return GOOD_WAV + _zip()


@hostile(WAV, OK)
def wav_with_html_in_a_chunk() -> bytes:
    return GOOD_WAV[:36] + chunk(b"LIST", b"INFO" + b"<script>alert(1)</script>") + GOOD_WAV[36:]


@hostile(FLAC, OK)
def flac_with_an_npy_at_its_end() -> bytes:
    return GOOD_FLAC + GOOD_NPY
