"""Hostile requests: each is refused as a client's fault, charges nothing, and breaks nothing."""

import asyncio
import io
import struct
import threading

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.audio import decode_clips, to_wav
from shared.errors import PROBLEM_MEDIA_TYPE
from tests.support.apps import NPY, RATE_HZ, SAMPLES, open_shop
from tests.support.victims import make_clips

CLIP = make_clips(1, SAMPLES)[0]


def npy(array: np.ndarray, **options: bool) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npy_header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    head = text.encode("latin-1")
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(head)) + head + data


def sound(kind: str, wave: np.ndarray, rate_hz: int = RATE_HZ, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


def with_sample(value: float) -> np.ndarray:
    clips = np.zeros((3, SAMPLES), dtype=np.float32)
    clips[1, 7] = value
    return clips


WAV = to_wav(CLIP, RATE_HZ)
SHAPE = f"({SAMPLES},)"
HOSTILE = {
    "empty": (NPY, b"", "undecodable-audio"),
    "zeros": (NPY, b"\0" * 600, "undecodable-audio"),
    "magic only": (NPY, b"\x93NUMPY\x01\x00", "undecodable-audio"),
    "object array": (
        NPY,
        npy(np.array([{"a": 1}, None], dtype=object), allow_pickle=True),
        "undecodable-audio",
    ),
    "float64": (NPY, npy(np.zeros((1, SAMPLES))), "undecodable-audio"),
    "complex": (NPY, npy(np.zeros((1, SAMPLES), np.complex64)), "undecodable-audio"),
    "code in the header": (
        NPY,
        npy_header("__import__('os').system('true')", b"\0" * 512),
        "undecodable-audio",
    ),
    "deep header": (NPY, npy_header("(" * 2000, b"\0" * 512), "undecodable-audio"),
    "future version": (
        NPY,
        npy_header(f"{{'descr':'<i2','fortran_order':False,'shape':{SHAPE}}}", b"", 9),
        "undecodable-audio",
    ),
    "huge shape": (
        NPY,
        npy_header(f"{{'descr':'<i2','fortran_order':False,'shape':({2**60},{SAMPLES})}}"),
        "too-large",
    ),
    "negative shape": (
        NPY,
        npy_header(f"{{'descr':'<i2','fortran_order':False,'shape':(-1,{SAMPLES})}}"),
        "undecodable-audio",
    ),
    "no clips": (NPY, npy(np.zeros((0, SAMPLES), np.int16)), "wrong-length"),
    "three dimensions": (NPY, npy(np.zeros((1, 1, SAMPLES), np.int16)), "wrong-length"),
    "scalar": (NPY, npy(np.int16(3)), "wrong-length"),
    "short": (NPY, npy(np.zeros((1, SAMPLES - 1), np.int16)), "wrong-length"),
    "long": (NPY, npy(np.zeros((1, SAMPLES + 1), np.int16)), "wrong-length"),
    "cut": (NPY, npy(np.zeros((2, SAMPLES), np.int16))[:-1], "undecodable-audio"),
    "with a tail": (NPY, npy(np.zeros((2, SAMPLES), np.int16)) + b"x", "undecodable-audio"),
    "too many clips": (NPY, npy(np.zeros((65, SAMPLES), np.int16)), "too-large"),
    "too many bytes": (NPY, npy(np.zeros((999, SAMPLES), np.int16)), "too-large"),
    "nan": (NPY, npy(with_sample(np.nan)), "not-finite"),
    "infinity": (NPY, npy(with_sample(-np.inf)), "not-finite"),
    "loud": (NPY, npy(with_sample(1.5)), "out-of-range"),
    "wav as npy": (NPY, WAV, "undecodable-audio"),
    "npy as wav": ("audio/wav", npy(np.zeros((1, SAMPLES), np.int16)), "undecodable-audio"),
    "flac as wav": ("audio/wav", sound("FLAC", CLIP), "undecodable-audio"),
    "wav as flac": ("audio/flac", WAV, "undecodable-audio"),
    "wav header only": ("audio/wav", WAV[:44], "wrong-length"),
    "wav cut in the header": ("audio/wav", WAV[:20], "undecodable-audio"),
    "wav of another rate": ("audio/wav", to_wav(CLIP, 16_000), "wrong-sample-rate"),
    "wav that is short": ("audio/wav", to_wav(CLIP[:-1], RATE_HZ), "wrong-length"),
    "wav that is long": ("audio/wav", to_wav(np.tile(CLIP, 2), RATE_HZ), "wrong-length"),
    "wav with nan": (
        "audio/wav",
        sound("WAV", with_sample(np.nan)[1], subtype="FLOAT"),
        "not-finite",
    ),
    "wav of eight channels": ("audio/wav", sound("WAV", np.zeros((SAMPLES, 8))), None),
    "compressed wav": ("audio/wav", sound("WAV", CLIP, subtype="MS_ADPCM"), "undecodable-audio"),
    "flac bomb": ("audio/flac", sound("FLAC", np.zeros(2_000_000)), "wrong-length"),
    "flac cut": ("audio/flac", sound("FLAC", CLIP)[:60], None),
    "ogg": ("audio/ogg", sound("OGG", CLIP, 8000, "VORBIS"), "unsupported-media-type"),
    "ogg as flac": ("audio/flac", sound("OGG", CLIP, 8000, "VORBIS"), "undecodable-audio"),
    "json": ("application/json", b'{"clips": []}', "unsupported-media-type"),
    "form": ("multipart/form-data; boundary=x", b"--x--", "unsupported-media-type"),
    "no type": ("", WAV, "unsupported-media-type"),
    "strange type": ("audio/" + "x" * 5000, WAV, "unsupported-media-type"),
}


def test_hostile_bodies_are_refused_with_their_own_code_and_charge_nothing(tmp_path):
    async def story():
        wrong = {}
        async with open_shop(tmp_path) as shop:
            key = await shop.key()
            for name, (media_type, body, code) in HOSTILE.items():
                response = await shop.post(key, body, media_type, **{"idempotency-key": "x" * 20})
                found = response.json().get("code")
                type_is_right = response.headers["content-type"] == PROBLEM_MEDIA_TYPE
                fault_is_theirs = 400 <= response.status_code < 500
                if not (fault_is_theirs and type_is_right and code in (found, None)):
                    wrong[name] = (response.status_code, found, code)
            assert await shop.spent(key) == 0
            assert (await shop.post_wav(key)).status_code == 200
        return wrong

    assert asyncio.run(story()) == {}


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    bodies=st.lists(
        st.tuples(
            st.sampled_from([NPY, "audio/wav", "audio/flac"]),
            st.one_of(
                st.binary(max_size=2000),
                st.tuples(
                    st.sampled_from([WAV, sound("FLAC", CLIP), npy(with_sample(0.1))]),
                    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
                ),
            ),
        ),
        min_size=10,
        max_size=10,
    )
)
def test_random_and_damaged_bodies_never_break_the_service(tmp_path_factory, bodies):
    async def story():
        folder = tmp_path_factory.mktemp("fuzz")
        async with open_shop(folder) as shop:
            key, sold = await shop.key(budget=1_000_000), 0
            for number, (media_type, made) in enumerate(bodies):
                if isinstance(made, bytes):
                    body = made
                else:
                    damaged = bytearray(made[0])
                    for place, value in made[1]:
                        damaged[place % len(damaged)] = value
                    body = bytes(damaged)
                name = {"idempotency-key": f"fuzz-{number:06d}"}
                response = await shop.post(key, body, media_type, **name)
                assert response.status_code in (200, 413, 415, 422), response.text
                if response.status_code == 200:
                    sold += len(response.json()["answers"])
            assert await shop.spent(key) == sold

    asyncio.run(story())


@pytest.mark.parametrize("length", ["-1", "1e3", "99999999999999999999", "1 2"])
def test_a_false_content_length_is_refused_before_the_body(tmp_path, length):
    async def story():
        async with open_shop(tmp_path) as shop:
            key = await shop.key()
            return await shop.post(key, WAV, "audio/wav", **{"content-length": length})

    response = asyncio.run(story())
    assert response.json()["code"] in ("malformed-request", "too-large")


@pytest.mark.parametrize(
    ("media_type", "body", "on_loop"),
    [
        (NPY, npy(np.zeros((1, SAMPLES), np.int16)), True),
        (NPY, npy(np.zeros((64, SAMPLES), np.int16)), False),
        ("audio/wav", WAV, True),
        ("audio/flac", sound("FLAC", CLIP), False),
        ("audio/x-flac", sound("FLAC", CLIP), False),
    ],
)
def test_what_may_take_long_is_decoded_off_the_event_loop(
    tmp_path, monkeypatch, media_type, body, on_loop
):
    threads = []

    def decode(*args: object, **options: int) -> np.ndarray:
        threads.append(threading.current_thread())
        return decode_clips(*args, **options)

    monkeypatch.setattr("victim_service.classify.decode_clips", decode)

    async def story():
        async with open_shop(tmp_path) as shop:
            name = {"idempotency-key": "off-the-loop"}
            return await shop.post(await shop.key(), body, media_type, **name)

    assert asyncio.run(story()).status_code == 200
    assert [thread is threading.main_thread() for thread in threads] == [on_loop]
