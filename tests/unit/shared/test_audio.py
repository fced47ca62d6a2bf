import io
import math
import struct
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.audio import (
    AudioError,
    decode_clips,
    fix_length,
    from_int16,
    from_npy,
    read_audio,
    resample,
    resample_many,
    to_int16,
    to_npy,
    to_wav,
)
from shared.errors import PROBLEMS
from tests.hostile.make import flac, frame, streaminfo

RATE, T, MOST = 4_000, 64, 8
NPY = "application/x-npy"
UNKNOWN = streaminfo(RATE, total=0)


def decode(body: bytes, content_type: str = NPY) -> Any:
    return decode_clips(body, content_type, sample_rate_hz=RATE, clip_samples=T, max_clips=MOST)


def tone(samples: int = T, level: float = 0.5, hertz: float = 440.0, rate: int = RATE) -> Any:
    return (level * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)).astype(np.float32)


def sound(
    wave: Any, rate: int = RATE, container: str = "WAV", subtype: str | None = "PCM_16"
) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def npy(header: str, data: bytes, version: tuple[int, int] = (1, 0), length: int = -1) -> bytes:
    text = header.encode("utf-8")
    layout = "<H" if version[0] == 1 else "<I"
    size = struct.pack(layout, len(text) if length < 0 else length)
    return b"\x93NUMPY" + bytes(version) + size + text + data


def header(shape: object = (T,), descr: object = "<i2", fortran: object = False) -> str:
    return repr({"descr": descr, "fortran_order": fortran, "shape": shape}) + "\n"


ONE = to_int16(tone()).tobytes()


class TestConversions:
    @given(st.lists(st.integers(-32_768, 32_767), max_size=50))
    def test_int16_survives_the_way_to_float_and_back(self, values: list[int]) -> None:
        samples = np.array(values, dtype=np.int16)
        assert from_int16(samples).dtype == np.float32
        np.testing.assert_array_equal(to_int16(from_int16(samples)), samples)

    def test_what_lies_outside_is_clipped(self) -> None:
        np.testing.assert_array_equal(
            to_int16(np.array([-2.0, -1.0, 1.0, 2.0])), [-32_768, -32_768, 32_767, 32_767]
        )
        assert np.abs(from_int16(np.array([-32_768, 32_767], dtype=np.int16))).max() <= 1

    @pytest.mark.parametrize(
        ("length", "start", "expected"),
        [
            (3, 0, [1, 2, 3]),
            (2, 1, [2, 3]),
            (5, 0, [1, 2, 3, 0, 0]),
            (3, 2, [3, 0, 0]),
            (2, 9, [0, 0]),
        ],
    )
    def test_fix_length(self, length: int, start: int, expected: list[int]) -> None:
        wave = np.array([1, 2, 3], dtype=np.float32)
        np.testing.assert_array_equal(fix_length(wave, length, start), expected)


class TestResample:
    def test_a_tone_keeps_its_pitch_and_level(self) -> None:
        wave = resample(tone(16_000, 0.5, 440, 16_000), 16_000, 4_000)
        assert wave.shape == (4_000,)
        spectrum = np.abs(np.fft.rfft(wave))
        assert np.argmax(spectrum) == 440
        assert np.abs(wave[100:-100]).max() == pytest.approx(0.5, abs=0.01)

    def test_what_the_lower_rate_cannot_hold_is_removed(self) -> None:
        wave = resample(tone(16_000, 0.5, 3_000, 16_000), 16_000, 4_000)
        assert np.abs(wave[100:-100]).max() < 0.01

    def test_the_same_rate_is_the_identity(self) -> None:
        wave = tone()
        assert resample(wave, 4_000, 4_000) is wave

    def test_read_only_input_is_accepted(self) -> None:
        wave = np.frombuffer(tone(400).tobytes(), dtype=np.float32)
        assert resample(wave, 8_000, 4_000).shape == (200,)

    @settings(deadline=None, max_examples=25)
    @given(
        st.lists(st.integers(1, 900), min_size=1, max_size=5),
        st.sampled_from([(16_000, 4_000), (22_050, 4_000), (4_000, 16_000), (4_000, 4_000)]),
    )
    def test_many_at_once_equal_one_by_one(
        self, lengths: list[int], rates: tuple[int, int]
    ) -> None:
        rng = np.random.default_rng(0)
        waves = [rng.uniform(-1, 1, length).astype(np.float32) for length in lengths]
        together = resample_many(waves, *rates)
        for wave, resampled in zip(waves, together, strict=True):
            np.testing.assert_allclose(resampled, resample(wave, *rates), atol=1e-5)

    def test_no_wave_gives_no_wave(self) -> None:
        assert resample_many([], 16_000, 4_000) == []


class TestReadAudio:
    @pytest.mark.parametrize("name", ["clip.wav", "clip.flac", "déjà vu ☕.wav"])
    def test_wav_and_flac_are_read(self, tmp_path: Path, name: str) -> None:
        soundfile.write(tmp_path / name, tone(200), RATE)
        np.testing.assert_allclose(read_audio(tmp_path / name, RATE), tone(200), atol=1e-4)

    def test_channels_are_averaged(self, tmp_path: Path) -> None:
        both = np.stack([tone(200), np.zeros(200, dtype=np.float32)], axis=1)
        soundfile.write(tmp_path / "clip.wav", both, RATE)
        wave = read_audio(tmp_path / "clip.wav", RATE)
        assert wave.shape == (200,)
        np.testing.assert_allclose(wave, tone(200) / 2, atol=1e-4)

    def test_the_rate_is_changed(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "clip.wav", tone(22_050, rate=22_050), 22_050)
        wave = read_audio(tmp_path / "clip.wav", RATE)
        assert wave.dtype == np.float32
        assert wave.shape == (4_000,)
        assert np.argmax(np.abs(np.fft.rfft(wave))) == 440

    def test_long_files_are_cut(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "clip.wav", tone(200_000), RATE)
        assert read_audio(tmp_path / "clip.wav", RATE, max_seconds=0.5).shape == (2_000,)
        assert read_audio(tmp_path / "clip.wav", RATE).shape == (200_000,)

    def test_loud_float_files_are_clipped(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "clip.wav", 4 * tone(200, 1.0), RATE, subtype="FLOAT")
        assert np.abs(read_audio(tmp_path / "clip.wav", RATE)).max() == 1

    @pytest.mark.parametrize(
        ("content", "code", "words"),
        [
            (b"", "undecodable-audio", "not a WAV or FLAC"),
            (b"text, not audio", "undecodable-audio", "not a WAV or FLAC"),
            (sound(np.zeros(0)), "undecodable-audio", "no samples"),
            (sound(np.array([0, np.nan]), subtype="FLOAT"), "not-finite", "NaN"),
            (sound(np.array([0, np.inf]), subtype="FLOAT"), "not-finite", "NaN"),
            (sound(tone(), container="AIFF"), "undecodable-audio", "AIFF PCM_16"),
            (sound(tone(), subtype="IMA_ADPCM"), "undecodable-audio", "IMA_ADPCM"),
            (sound(np.zeros((9, 9))), "undecodable-audio", "9 channels"),
            (sound(tone(), rate=400), "wrong-sample-rate", "400 Hz"),
        ],
    )
    def test_what_is_refused(self, tmp_path: Path, content: bytes, code: str, words: str) -> None:
        (tmp_path / "clip.wav").write_bytes(content)
        with pytest.raises(AudioError, match=words) as caught:
            read_audio(tmp_path / "clip.wav", RATE)
        assert caught.value.code == code

    def test_folders_and_missing_files_are_refused(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "absent.wav"):
            with pytest.raises(AudioError, match="not a regular file"):
                read_audio(path, RATE)


class TestDecodeSound:
    @pytest.mark.parametrize(
        ("container", "subtype", "content_type"),
        [
            ("WAV", "PCM_16", "audio/wav"),
            ("WAV", "PCM_U8", "audio/x-wav"),
            ("WAV", "PCM_24", "Audio/WAV; codec=1"),
            ("WAV", "FLOAT", "audio/wave"),
            ("WAV", "DOUBLE", "audio/vnd.wave"),
            ("WAVEX", "PCM_16", "audio/wav"),
            ("FLAC", "PCM_16", "audio/flac"),
            ("FLAC", "PCM_24", "audio/x-flac"),
        ],
    )
    def test_one_clip(self, container: str, subtype: str, content_type: str) -> None:
        clips = decode(sound(tone(), container=container, subtype=subtype), content_type)
        assert clips.shape == (1, T)
        assert clips.dtype == np.float32
        np.testing.assert_allclose(clips[0], tone(), atol=0.01)

    def test_wav_and_npy_of_the_same_clip_are_the_same_query(self) -> None:
        from_wav = decode(to_wav(tone(), RATE), "audio/wav")
        np.testing.assert_array_equal(from_wav, decode(to_npy(to_int16(tone()))))

    def test_two_channels_are_averaged_and_three_refused(self) -> None:
        stereo = np.stack([tone(), np.zeros(T)], axis=1)
        np.testing.assert_allclose(decode(sound(stereo), "audio/wav")[0], tone() / 2, atol=1e-4)
        with pytest.raises(AudioError, match="3 channels"):
            decode(sound(np.zeros((T, 3))), "audio/wav")

    @pytest.mark.parametrize(
        ("body", "content_type", "code"),
        [
            (b"", "audio/wav", "undecodable-audio"),
            (b"RIFF\0\0\0\0WAVE", "audio/wav", "undecodable-audio"),
            (sound(tone())[:40], "audio/wav", "undecodable-audio"),
            (sound(tone())[:-7], "audio/wav", "wrong-length"),
            (sound(tone(), container="FLAC"), "audio/wav", "undecodable-audio"),
            (sound(tone()), "audio/flac", "undecodable-audio"),
            (sound(tone()), NPY, "undecodable-audio"),
            (sound(tone(), container="FLAC")[:50], "audio/flac", "undecodable-audio"),
            (sound(tone(), subtype="GSM610"), "audio/wav", "undecodable-audio"),
            (sound(tone(), subtype="ULAW"), "audio/wav", "undecodable-audio"),
            (sound(tone(T - 1)), "audio/wav", "wrong-length"),
            (sound(tone(T + 1)), "audio/wav", "wrong-length"),
            (sound(tone(10 * T)), "audio/wav", "wrong-length"),
            (sound(np.zeros(0)), "audio/wav", "wrong-length"),
            (sound(np.zeros(10**6), container="FLAC"), "audio/flac", "wrong-length"),
            (sound(tone(100_000)), "audio/wav", "too-large"),
            (sound(tone(), rate=8_000), "audio/wav", "wrong-sample-rate"),
            (sound(tone(), rate=1), "audio/wav", "wrong-sample-rate"),
            (sound(np.full(T, np.nan), subtype="FLOAT"), "audio/wav", "not-finite"),
            (sound(np.full(T, -np.inf), subtype="FLOAT"), "audio/wav", "not-finite"),
            (sound(2 * tone(level=1), subtype="FLOAT"), "audio/wav", "out-of-range"),
            (sound(tone()), "audio/mpeg", "unsupported-media-type"),
            (sound(tone()), "application/octet-stream", "unsupported-media-type"),
            (sound(tone()), "", "unsupported-media-type"),
            (sound(tone()), "audio/wav,audio/flac", "unsupported-media-type"),
        ],
    )
    def test_hostile_bodies(self, body: bytes, content_type: str, code: str) -> None:
        with pytest.raises(AudioError) as caught:
            decode(body, content_type)
        assert caught.value.code == code
        assert code in PROBLEMS

    @pytest.mark.parametrize("place", [4, 40])
    def test_a_length_that_lies_changes_nothing(self, place: int) -> None:
        body = bytearray(sound(tone()))
        body[place : place + 4] = struct.pack("<I", 0xFFFF_FF00)
        np.testing.assert_allclose(decode(bytes(body), "audio/wav")[0], tone(), atol=1e-4)

    def test_a_flac_header_that_lies_allocates_nothing(self) -> None:
        body = bytearray(sound(tone(), container="FLAC"))
        body[21] |= 0x0F  # the 36 bits of total samples, all set: 68,719,476,735 frames
        body[22:26] = b"\xff\xff\xff\xff"
        with pytest.raises(AudioError) as caught:
            decode(bytes(body), "audio/flac")
        assert caught.value.code in {"wrong-length", "undecodable-audio"}

    @pytest.mark.parametrize(
        ("samples", "code"), [(T, ""), (T + 1, "wrong-length"), (T - 1, "undecodable-audio")]
    )
    def test_a_flac_header_that_knows_no_length(self, samples: int, code: str) -> None:
        body = bytearray(sound(tone(samples), container="FLAC"))
        body[21] &= 0xF0
        body[22:26] = bytes(4)
        found, clips = "", tone()[np.newaxis]
        try:
            clips = decode(bytes(body), "audio/flac")
        except AudioError as error:
            found = error.code
        assert found == code
        np.testing.assert_allclose(clips[0], tone(), atol=1e-4)

    def test_frames_that_are_thrown_away_take_little_time(self) -> None:
        # Eight channels where the header says one: libsndfile drops such frames, and goes on.
        body = flac(*(frame(number, 65_535, channels=8) for number in range(850)), info=UNKNOWN)
        begun = time.thread_time()
        with pytest.raises(AudioError):
            decode(body, "audio/flac")
        assert time.thread_time() - begun < 0.05
        assert len(body) < 32_768

    def test_infinite_channels_are_refused_without_a_warning(self) -> None:
        both = np.stack([np.full(T, np.inf), np.full(T, -np.inf)], axis=1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(AudioError) as caught:
                decode(sound(both, subtype="FLOAT"), "audio/wav")
        assert caught.value.code == "not-finite"

    @settings(deadline=None, max_examples=150)
    @given(st.data())
    def test_any_damage_ends_in_an_answer_or_an_audio_error(self, data: st.DataObject) -> None:
        container, content_type = data.draw(
            st.sampled_from([("WAV", "audio/wav"), ("FLAC", "audio/flac")])
        )
        body = bytearray(sound(tone(), container=container))
        for _ in range(data.draw(st.integers(1, 6))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(body)))
        code, clips = "", np.zeros((1, T))
        try:
            clips = decode(bytes(body[:cut] if cut % 2 else body), content_type)
        except AudioError as error:
            code = error.code
        assert code == "" or code in PROBLEMS
        assert clips.shape == (1, T)
        assert np.abs(clips).max() <= 1


class TestDecodeNpy:
    @settings(deadline=None)
    @given(st.integers(1, MOST), st.booleans(), st.sampled_from(["<i2", ">i2", "<f4", ">f4"]))
    def test_round_trip(self, batch: int, fortran: bool, dtype: str) -> None:
        wave = np.random.default_rng(batch).uniform(-1, 1, (batch, T)).astype(np.float32)
        expected = wave if dtype[1] == "f" else from_int16(to_int16(wave))
        stored = (wave if dtype[1] == "f" else to_int16(wave)).astype(dtype)
        clips = decode(to_npy(np.asfortranarray(stored) if fortran else stored))
        np.testing.assert_array_equal(clips, expected)
        assert clips.dtype == np.float32
        assert clips.flags.c_contiguous
        assert clips.flags.writeable

    @pytest.mark.parametrize("dtype", ["<i2", ">f4", "<f4", "<i8", "<c16"])
    @pytest.mark.parametrize("shape", [(), (5,), (0, 3), (2, 3), (2, 3, 4)])
    def test_is_written_as_numpy_does(self, dtype: str, shape: tuple[int, ...]) -> None:
        plain = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
        for array in (plain, np.asfortranarray(plain), plain[..., ::2] if shape else plain):
            file = io.BytesIO()
            np.save(file, array)
            assert to_npy(array) == file.getvalue()

    @pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
    def test_all_versions(self, version: tuple[int, int]) -> None:
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, to_int16(tone()), version=version)
        assert decode(buffer.getvalue()).shape == (1, T)

    def test_one_clip_without_a_batch_axis(self) -> None:
        np.testing.assert_array_equal(decode(to_npy(tone())), tone()[np.newaxis])

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"", "undecodable-audio"),
            (b"\x93NUMPY", "undecodable-audio"),
            (b"\x93NUMPY\x01\x00", "undecodable-audio"),
            (b"\x93NUMPY\x01\x00\xff\xff{}", "undecodable-audio"),
            (npy(header(), ONE, (4, 0)), "undecodable-audio"),
            (npy(header(), ONE, (0, 0)), "undecodable-audio"),
            (npy(header(), ONE, (1, 1)), "undecodable-audio"),
            (npy(header(), ONE, (2, 0), length=0xFFFF_FFFF), "undecodable-audio"),
            (npy(header() + " " * 5_000, ONE), "undecodable-audio"),
            (npy(header(), ONE[:-1]), "undecodable-audio"),
            (npy(header(), ONE + b"\0"), "undecodable-audio"),
            (npy(header(), b""), "undecodable-audio"),
            (npy(header((T, 1)), ONE), "wrong-length"),
            (npy(header((1, 1, T)), ONE), "wrong-length"),
            (npy(header(()), ONE[:2]), "wrong-length"),
            (npy(header((0, T)), b""), "wrong-length"),
            (npy(header((0,)), b""), "wrong-length"),
            (npy(header((T - 1,)), ONE[:-2]), "wrong-length"),
            (npy(header((2**40, T)), ONE), "too-large"),
            (npy(header((MOST + 1, T)), ONE * (MOST + 1)), "too-large"),
            (npy(header((MOST, T), "<f4"), ONE), "undecodable-audio"),
            (npy(header((-1, T)), ONE), "undecodable-audio"),
            (npy(header((True, T)), ONE), "undecodable-audio"),
            (npy(header((1.0, T)), ONE), "undecodable-audio"),
            (npy(header([T]), ONE), "undecodable-audio"),
            (npy(header((1,) * 9), ONE), "undecodable-audio"),
            (npy(header(fortran=1), ONE), "undecodable-audio"),
            (npy(header(descr="|O"), ONE), "undecodable-audio"),
            (npy(header(descr=[("x", "<i2")]), ONE), "undecodable-audio"),
            (npy(header(descr="<f8", shape=(16,)), ONE), "undecodable-audio"),
            (npy(header(descr="<u2"), ONE), "undecodable-audio"),
            (npy(header(descr="|S2"), ONE), "undecodable-audio"),
            (npy(header(descr="no dtype"), ONE), "undecodable-audio"),
            (npy("{'descr': '<i2', 'shape': (64,)}", ONE), "undecodable-audio"),
            (npy("{'descr': '<i2'", ONE), "undecodable-audio"),
            (npy("__import__('os').getpid()", ONE), "undecodable-audio"),
            (npy("(" * 3_000, ONE), "undecodable-audio"),
            (npy("-" * 3_000 + "1", ONE), "undecodable-audio"),
            (npy("9" * 4_000, ONE), "undecodable-audio"),
            (npy("{[]: 1}", ONE), "undecodable-audio"),
            (npy("[1, 2]", ONE), "undecodable-audio"),
            (npy("\0", ONE), "undecodable-audio"),
            (npy("ÿ", ONE, (3, 0)), "undecodable-audio"),
            (b"\x93NUMPY\x03\x00\x02\x00\x00\x00\xff\xfe" + ONE, "undecodable-audio"),
            (to_npy(np.full(T, np.nan, np.float32)), "not-finite"),
            (to_npy(np.full(T, np.inf, np.float32)), "not-finite"),
            (to_npy(np.full(T, 1.001, np.float32)), "out-of-range"),
            (to_npy(np.full(T, -1.001, np.float32)), "out-of-range"),
            (b"\0" * 100_000, "too-large"),
        ],
    )
    def test_hostile_bodies(self, body: bytes, code: str) -> None:
        with pytest.raises(AudioError) as caught:
            decode(body)
        assert caught.value.code == code

    def test_one_bad_sample_among_many_is_found(self) -> None:
        clips = np.zeros((MOST, T), dtype=np.float32)
        clips[3, 7] = np.nan
        with pytest.raises(AudioError, match="NaN"):
            decode(to_npy(clips))

    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=300), st.booleans())
    def test_any_bytes_end_in_an_audio_error(self, noise: bytes, magic: bool) -> None:
        with pytest.raises(AudioError):
            decode(b"\x93NUMPY\x01\x00" + noise if magic else noise)

    def test_a_batch_decodes_in_a_fraction_of_a_millisecond(self) -> None:
        body = to_npy(np.zeros((64, 4_096), dtype=np.int16))
        spent_s = []
        for _ in range(20):
            start = time.perf_counter()
            decode_clips(body, NPY, sample_rate_hz=RATE, clip_samples=4_096, max_clips=64)
            spent_s.append(time.perf_counter() - start)
        assert min(spent_s) < 0.002


class TestNpy:
    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((2, 3), dtype=np.float32),
            np.arange(5, dtype=np.int64),
            np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            np.zeros((0, 4), dtype=np.float32),
            np.array(3.5),
        ],
    )
    def test_round_trip(self, array: Any) -> None:
        again = from_npy(to_npy(array), max_bytes=10_000)
        np.testing.assert_array_equal(again, array)
        assert again.dtype == array.dtype
        assert again.flags.writeable

    def test_objects_are_neither_written_nor_read(self) -> None:
        with pytest.raises(ValueError, match="Object arrays"):
            to_npy(np.array([{}], dtype=object))
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.array([{}], dtype=object), allow_pickle=True)
        with pytest.raises(AudioError, match="not a plain number"):
            from_npy(buffer.getvalue(), max_bytes=10_000)

    def test_the_cap_holds(self) -> None:
        body = to_npy(np.zeros(100))
        with pytest.raises(AudioError) as caught:
            from_npy(body, max_bytes=len(body) - 1)
        assert caught.value.code == "too-large"


def test_to_wav_is_sixteen_bit_mono() -> None:
    info = soundfile.info(io.BytesIO(to_wav(tone(), RATE)))
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (RATE, 1, T, "PCM_16")


def test_a_shape_of_thousands_of_digits_is_undecodable() -> None:
    header = "{'descr':'<f4','fortran_order':False,'shape':(0x" + "F" * 3900 + ",)}"
    body = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    with pytest.raises(AudioError) as caught:
        from_npy(body, max_bytes=1 << 20)
    assert caught.value.code == "undecodable-audio"
