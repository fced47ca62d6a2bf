import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.containers import (
    AudioError,
    SteppedFile,
    lean_flac,
    lean_wav,
    npy_header,
)

RATE_HZ = 4_000
WAVE = np.sin(np.arange(100) / 3).astype(np.float32) / 2


def sound(
    container: str, subtype: str = "PCM_16", channels: int = 1, rate_hz: int = RATE_HZ
) -> bytes:
    file = io.BytesIO()
    wave = np.stack([WAVE] * channels, axis=1)
    soundfile.write(file, wave, rate_hz, format=container, subtype=subtype)
    return file.getvalue()


def read(body: bytes) -> tuple[np.ndarray, soundfile.SoundFile]:
    with soundfile.SoundFile(io.BytesIO(body)) as file:
        return file.read(dtype="float32"), file


def with_chunk(body: bytes, name: bytes, data: bytes) -> bytes:
    """A WAV file with one more chunk before the format."""
    return body[:12] + name + struct.pack("<I", len(data)) + data + body[12:]


class TestLeanWav:
    @pytest.mark.parametrize("container", ["WAV", "WAVEX"])
    @pytest.mark.parametrize("channels", [1, 2])
    @pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
    def test_the_audio_is_the_same(self, container: str, channels: int, subtype: str) -> None:
        body = sound(container, subtype, channels)
        lean = lean_wav(body, RATE_HZ, 1_000)
        samples, file = read(lean)
        np.testing.assert_array_equal(samples, read(body)[0])
        assert (file.format, file.subtype, file.channels) == ("WAV", subtype, channels)
        assert len(lean) == 44 + samples.size * (len(lean) - 44) // samples.size

    def test_only_format_and_data_are_left(self) -> None:
        body = with_chunk(sound("WAV"), b"LIST", b"INFOsecret comment!!")
        lean = lean_wav(body + b"more secret", RATE_HZ, 1_000)
        assert b"secret" in body
        assert b"secret" not in lean
        assert lean == lean_wav(sound("WAV"), RATE_HZ, 1_000)
        assert len(lean) == 44 + 2 * len(WAVE)

    def test_no_more_frames_than_wanted_are_kept(self) -> None:
        assert len(lean_wav(sound("WAV", channels=2), RATE_HZ, 7)) == 44 + 7 * 4

    @pytest.mark.parametrize("size", [2 * len(WAVE) + 1, 2**31, 2**32 - 1])
    def test_a_data_size_that_lies_is_mended(self, size: int) -> None:
        body = bytearray(sound("WAV"))
        struct.pack_into("<I", body, 40, size)
        assert lean_wav(bytes(body), RATE_HZ, 1_000) == lean_wav(sound("WAV"), RATE_HZ, 1_000)

    @pytest.mark.parametrize(
        ("place", "layout", "value", "code"),
        [
            (0, "4s", b"RIFX", "undecodable-audio"),
            (8, "4s", b"AVI ", "undecodable-audio"),
            (16, "<I", 15, "undecodable-audio"),
            (20, "<H", 2, "undecodable-audio"),
            (22, "<H", 0, "undecodable-audio"),
            (22, "<H", 3, "undecodable-audio"),
            (24, "<I", RATE_HZ + 1, "wrong-sample-rate"),
            (32, "<H", 3, "undecodable-audio"),
            (34, "<H", 0, "undecodable-audio"),
            (34, "<H", 17, "undecodable-audio"),
        ],
    )
    def test_what_is_refused(self, place: int, layout: str, value: object, code: str) -> None:
        body = bytearray(sound("WAV"))
        struct.pack_into(layout, body, place, value)
        with pytest.raises(AudioError) as caught:
            lean_wav(bytes(body), RATE_HZ, 1_000)
        assert caught.value.code == code

    def test_a_file_of_very_many_chunks_is_refused(self) -> None:
        few, many = sound("WAV"), sound("WAV")
        for _ in range(60):
            few = with_chunk(few, b"junk", b"")
        assert lean_wav(few, RATE_HZ, 1_000) == lean_wav(sound("WAV"), RATE_HZ, 1_000)
        for _ in range(70):
            many = with_chunk(many, b"junk", b"")
        with pytest.raises(AudioError, match="chunks"):
            lean_wav(many, RATE_HZ, 1_000)


class TestLeanFlac:
    @pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
    def test_the_audio_is_the_same(self, subtype: str) -> None:
        body = sound("FLAC", subtype)
        flac = lean_flac(body, RATE_HZ)
        assert flac.total == len(WAVE)
        samples, file = read(flac.with_total(flac.total))
        np.testing.assert_array_equal(samples, read(body)[0])
        assert file.subtype == subtype

    def test_metadata_is_left_away(self) -> None:
        body = sound("FLAC")
        place = 4 + 4 + 34
        tagged = body[:place] + b"\x02\0\0\x06secret" + body[place:]
        assert read(tagged)[0].shape == WAVE.shape
        assert b"secret" not in lean_flac(tagged, RATE_HZ).with_total(100)
        assert lean_flac(tagged, RATE_HZ) == lean_flac(body, RATE_HZ)

    def test_the_total_is_written_and_nothing_else(self) -> None:
        flac = lean_flac(sound("FLAC"), RATE_HZ)
        for total in (0, 1, 2**36 - 1):
            again = lean_flac(flac.with_total(total), RATE_HZ)
            assert again.total == total
            assert again.with_total(100) == flac.with_total(100)

    @pytest.mark.parametrize("cut", [0, 3, 4, 7, 8, 20, 41])
    def test_a_cut_header_is_refused(self, cut: int) -> None:
        with pytest.raises(AudioError):
            lean_flac(sound("FLAC")[:cut], RATE_HZ)

    @pytest.mark.parametrize("magic", [b"OggS", b"flac", b"RIFF", b"\0\0\0\0"])
    def test_a_whole_flac_under_another_name_is_none(self, magic: bytes) -> None:
        with pytest.raises(AudioError, match="not FLAC"):
            lean_flac(magic + sound("FLAC")[4:], RATE_HZ)

    def test_another_rate_has_its_own_code(self) -> None:
        with pytest.raises(AudioError) as caught:
            lean_flac(sound("FLAC", rate_hz=8_000), RATE_HZ)
        assert caught.value.code == "wrong-sample-rate"


class TestNpyHeader:
    @given(
        st.lists(st.integers(0, 9), max_size=4).map(tuple),
        st.sampled_from(["<i2", ">f4", "<f8", "|u1"]),
        st.booleans(),
        st.sampled_from([(1, 0), (2, 0), (3, 0)]),
    )
    def test_it_reads_what_numpy_writes(
        self, shape: tuple[int, ...], dtype: str, fortran: bool, version: tuple[int, int]
    ) -> None:
        array = np.zeros(shape, dtype=dtype, order="F" if fortran else "C")
        file = io.BytesIO()
        np.lib.format.write_array(file, array, version=version)
        found = npy_header(file.getvalue())
        assert found.shape == shape
        assert found.descr == np.dtype(dtype).str
        assert found.offset == len(file.getvalue()) - array.nbytes
        if array.flags.f_contiguous and not array.flags.c_contiguous:
            assert found.fortran

    @pytest.mark.parametrize(
        "text",
        [
            "{'shape': (3, 5), 'fortran_order': False, 'descr': '<i2'}",
            '{"descr":"<i2","fortran_order":False,"shape":(3,5,),}',
            "  {'descr' : '<i2' , 'fortran_order' : False , 'shape' : ( 3 , 5 ) , } \n",
        ],
    )
    def test_other_writers_have_other_habits(self, text: str) -> None:
        body = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()
        assert npy_header(body)[:3] == ("<i2", False, (3, 5))

    @settings(max_examples=200, deadline=None)
    @given(st.text("{}()[],:'\" 0123456789descrfortran_odhapTueFls<>i", max_size=200))
    def test_any_other_text_is_refused(self, text: str) -> None:
        body = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()
        with pytest.raises(AudioError):
            npy_header(body)


class TestSteppedFile:
    def test_reads_are_short_and_the_whole_is_read(self) -> None:
        file, buffer, found = SteppedFile(bytes(range(100)), 7), bytearray(50), b""
        while read_bytes := file.readinto(buffer):
            assert read_bytes <= 7
            found += bytes(buffer[:read_bytes])
        assert found == bytes(range(100))

    @pytest.mark.parametrize(("offset", "whence"), [(-5, 0), (-500, 2), (-1, 1), (2**80, 0)])
    def test_a_senseless_place_is_the_beginning(self, offset: int, whence: int) -> None:
        file = SteppedFile(b"abc", 2)
        assert file.seek(offset, whence) == 0
        assert file.tell() == 0
