"""The decoder against made-up bytes: an AudioError or clips, and never much memory or time."""

import os
import struct
import time
from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from shared.audio import AudioError, decode_clips
from shared.errors import PROBLEMS
from tests.hostile import make
from tests.hostile.corpus import FLAC, NPY, OK, WAV, whole_corpus
from tests.support.memory import forget_peak, peak_bytes, resident_bytes
from tests.support.torture import fuzz

LONG_S = 150.0
"""For each of the four tests: ten minutes in all."""
EXAMPLES = 400
MOST_GROWTH_BYTES = 32 * 2**20
MOST_CPU_S = 0.25
SEED_BYTES = 40_000

SEEDS = {
    kind: [
        body
        for one in whole_corpus().values()
        if one.media_type == kind and len(body := one.make()) <= SEED_BYTES
    ]
    for kind in (WAV, FLAC, NPY)
}
LEGAL = {
    kind: [
        one.make() for one in whole_corpus().values() if one.media_type == kind and OK in one.codes
    ]
    for kind in (WAV, FLAC, NPY)
}
BOUNDS = [2**bits + by for bits in (0, 3, 4, 5, 7, 8, 10, 15, 16, 24, 31, 32) for by in (-1, 0, 1)]
NUMBERS = st.sampled_from([bound % 2**32 for bound in BOUNDS]) | st.integers(0, 2**32 - 1)


def check(sent: tuple[str, bytes]) -> str:
    """Decode as the service does, require what the service relies on, and return the outcome."""
    media_type, body = sent
    pid, code, message = os.getpid(), OK, "fine"
    clips = np.zeros((1, make.SAMPLES), np.float32)
    forget_peak(pid)
    held, begun = resident_bytes(pid), time.thread_time()
    try:
        clips = decode_clips(
            body,
            media_type,
            sample_rate_hz=make.RATE_HZ,
            clip_samples=make.SAMPLES,
            max_clips=make.MOST,
        )
    except AudioError as error:
        code, message = error.code, str(error)
    assert time.thread_time() - begun < MOST_CPU_S
    assert peak_bytes(pid) - held < MOST_GROWTH_BYTES
    assert code == OK or code in PROBLEMS
    assert 0 < len(message) < 400
    assert clips.dtype == np.float32
    assert clips.ndim == 2
    assert clips.shape[1] == make.SAMPLES
    assert 1 <= len(clips) <= (make.MOST if media_type == NPY else 1)
    assert np.isfinite(clips).all()
    assert np.abs(clips).max() <= 1
    assert clips.flags.writeable
    return code


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file of the corpus, flipped, cut, spliced and overwritten."""
    kind = draw(st.sampled_from([WAV, FLAC, NPY]))
    seeds = st.sampled_from(draw(st.sampled_from([SEEDS[kind], LEGAL[kind]])))
    body = bytearray(draw(seeds))
    for _ in range(draw(st.integers(1, 6))):
        # Headers are where lies pay.
        end = len(body) if draw(st.booleans()) else min(len(body), 100)
        place = draw(st.integers(0, max(end - 1, 0)))
        length = draw(st.integers(0, 64) | st.integers(0, len(body)))
        act = draw(st.sampled_from(["flip", "number", "cut", "drop", "double", "insert", "splice"]))
        if act == "flip" and body:
            body[place] ^= 1 << draw(st.integers(0, 7))
        elif act == "number":
            layout = draw(st.sampled_from(["<B", "<H", ">H", "<I", ">I", "<Q", ">Q"]))
            value = draw(NUMBERS) % 256 ** struct.calcsize(layout)
            body[place : place + struct.calcsize(layout)] = struct.pack(layout, value)
        elif act == "cut":
            del body[place:]
        elif act == "drop":
            del body[place : place + length]
        elif act == "double":
            body[place:place] = body[place : place + length]
        elif act == "insert":
            body[place:place] = draw(st.binary(max_size=64))
        elif act == "splice":
            body[place:] = draw(seeds)[place:]
    return kind, bytes(body)


def mostly(usual: st.SearchStrategy[object], wild: st.SearchStrategy[object]) -> Any:
    """Seven times of eight what is usual: a file that lies about everything is soon refused."""
    return st.integers(0, 7).flatmap(lambda die: wild if die == 7 else usual)


def among(*values: object) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


@st.composite
def built_wav(draw: st.DrawFn) -> tuple[str, bytes]:
    """A WAV file whose chunks and format fields are drawn one by one, most of them right."""
    any16 = st.integers(0, 65_535)
    kinds = [(1, bits) for bits in (8, 16, 24, 32)] + [(3, 32), (3, 64)]
    tag, bits = draw(mostly(st.sampled_from(kinds), st.tuples(any16, any16)))
    channels = draw(mostly(among(1, 2), any16))
    order = draw(among("<", "<", ">"))
    form = make.wav_format(
        tag,
        channels,
        draw(mostly(st.just(make.RATE_HZ), NUMBERS)),
        bits,
        frame_bytes=draw(mostly(st.none(), any16)),
        more=draw(mostly(st.just(b""), st.binary(max_size=48))),
        order=order,
    )
    samples = draw(mostly(st.just(make.SAMPLES), st.integers(0, 2 * make.SAMPLES)))
    length = min(samples * channels * bits // 8, 70_000)
    data = (draw(st.binary(min_size=1, max_size=16)) * length)[:length]
    others = st.builds(
        make.chunk,
        among(b"LIST", b"fact", b"PEAK", b"cue ", b"bext", b"fmt ", b"data"),
        st.binary(max_size=40),
        mostly(st.none(), NUMBERS),
        st.just(order),
    )
    body = make.riff(
        *draw(mostly(st.just([]), st.lists(others, max_size=2))),
        make.chunk(b"fmt ", form, order=order),
        *draw(mostly(st.just([]), st.lists(others, max_size=2))),
        make.chunk(b"data", data, draw(mostly(st.none(), NUMBERS)), order),
        magic=b"RIFX" if order == ">" else b"RIFF",
    )
    return WAV, body[: draw(mostly(st.just(len(body)), st.integers(0, len(body))))]


@st.composite
def built_flac(draw: st.DrawFn) -> tuple[str, bytes]:
    """A FLAC file of frames that pass their checksums, so that what is in them is decoded."""
    bits, channels = draw(among(8, 16, 24)), draw(among(1, 2))
    any16 = st.integers(0, 65_535)
    info = make.streaminfo(
        draw(mostly(st.just(make.RATE_HZ), st.integers(0, 2**20 - 1))),
        draw(mostly(st.just(channels), st.integers(1, 8))),
        draw(mostly(st.just(bits), st.integers(1, 32))),
        draw(mostly(among(0, make.SAMPLES), st.integers(0, 2**36 - 1))),
        draw(st.tuples(any16, any16)),
    )
    frames = []
    for number in range(draw(among(1, 2, 4, 8))):
        if draw(mostly(st.just(True), st.just(False))):
            samples = draw(mostly(among(128, 256, 512, 1024), st.integers(1, 65_535)))
            many = draw(mostly(st.just(channels), st.integers(1, 8)))
            value = draw(st.integers(0, 2**bits - 1))
            frames.append(make.frame(number, samples, channels=many, bits=bits, value=value))
        else:
            codes = draw(st.tuples(st.integers(0, 255), st.integers(0, 255)))
            head = bytes([0xFF, 0xF8 | draw(st.integers(0, 3)), *codes, number])
            inner = draw(st.binary(max_size=80)) + bytes(draw(st.integers(0, 300)))
            frames.append(make.checked_frame(head + draw(st.binary(max_size=4)), inner))
    blocks = st.lists(st.tuples(st.integers(1, 127), st.binary(max_size=60)), max_size=3)
    return FLAC, make.flac(*frames, info=info, blocks=draw(blocks))


@st.composite
def built_npy(draw: st.DrawFn) -> tuple[str, bytes]:
    """An npy file of a header that numpy could have written, or nearly, and data to match."""
    sizes = among(0, 1, 2, 256, 257, 1024, -1, 2**31, 2**63, 2**64) | st.integers(-5, 2**70)
    shapes = [(1, 1024), (1024,), (3, 1024)]
    shape = draw(mostly(st.sampled_from(shapes), st.lists(sizes, max_size=9).map(tuple)))
    wild = st.text(max_size=8) | among("<f8", "|O", "|V4", "<i2,<i2", [("a", "<i2")], None)
    descr = draw(mostly(among("<i2", ">i2", "<f4", ">f4"), wild))
    fortran = draw(mostly(among(True, False), among(0, None, "False", [])))
    text = draw(
        mostly(
            among(
                repr({"descr": descr, "fortran_order": fortran, "shape": shape}),
                f"{{'shape': {shape}, 'descr': {descr!r}, 'fortran_order': {fortran}, }}  ",
            ),
            st.text(max_size=300)
            | st.text("(){}[],:'\" 0123456789truefalsdscnohp_<>i4-", max_size=4_096),
        )
    )
    version = draw(mostly(among((1, 0), (2, 0), (3, 0)), st.tuples(*[st.integers(0, 255)] * 2)))
    width = 4 if str(descr)[1:] == "f4" else 2
    length = min(abs(prod(shape)) * width, 20_000)
    length = draw(mostly(st.just(length), st.integers(0, 20_000)))
    fill = draw(among(b"\0", b"\x3c", b"\x80\x3f\x80\x3f", b"\xff", b"\x7f\xc0") | st.binary())
    data = ((fill or b"\0") * length)[:length]
    size = draw(mostly(st.none(), st.integers(0, 65_535)))
    return NPY, make.npy(text.encode("utf-8", "replace").decode("latin-1"), data, version, size)


@pytest.mark.timeout(2 * LONG_S + 120)
@pytest.mark.parametrize("build", [damaged, built_wav, built_flac, built_npy])
def test_any_bytes_end_in_an_audio_error_or_in_clips(
    build: Callable[[], st.SearchStrategy[tuple[str, bytes]]],
) -> None:
    outcomes: Counter[str] = Counter()
    fuzz(build(), lambda sent: outcomes.update([check(sent)]), examples=EXAMPLES, long_s=LONG_S)
    print(build.__name__, dict(outcomes.most_common()))
    # A fuzzer of which nothing passes would only ever try the first check.
    assert outcomes[OK] > EXAMPLES // 50
    assert len(outcomes) >= 4
