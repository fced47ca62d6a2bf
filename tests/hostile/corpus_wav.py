"""WAV files that lie, are cut, or carry something else."""

import struct

import numpy as np

from tests.hostile.corpus import (
    LARGE,
    LENGTH,
    NOT_FINITE,
    OK,
    RANGE,
    RATE,
    UNDECODABLE,
    WAV,
    add,
    hostile,
)
from tests.hostile.make import (
    CLIP,
    GOOD_FLAC,
    GOOD_WAV,
    PCM,
    RATE_HZ,
    SAMPLES,
    chunk,
    encoded,
    extensible,
    riff,
    wav,
    wav_format,
)

_HUGE = 0xFFFF_FFFF

for _cut in (1, 4, 8, 11, 12, 16, 20, 22, 24, 28, 32, 34, 36, 40):
    add(f"wav_cut_at_byte_{_cut}", WAV, lambda cut=_cut: GOOD_WAV[:cut], UNDECODABLE)
add("wav_cut_after_the_data_header", WAV, lambda: GOOD_WAV[:44], LENGTH)
add("wav_cut_in_mid_sample", WAV, lambda: GOOD_WAV[:-1], LENGTH)
add("wav_cut_in_the_middle", WAV, lambda: GOOD_WAV[: len(GOOD_WAV) // 2], LENGTH)


def _patched(place: int, value: int, layout: str = "<I") -> bytes:
    body = bytearray(GOOD_WAV)
    struct.pack_into(layout, body, place, value)
    return bytes(body)


for _size in (0, 1, 4, _HUGE):
    # A size that programs cannot know when they write to a pipe: what is there counts.
    add(f"wav_riff_size_{_size}", WAV, lambda size=_size: _patched(4, size), OK)
add("wav_data_size_4294967295", WAV, lambda: _patched(40, _HUGE), OK)
add("wav_data_size_0", WAV, lambda: _patched(40, 0), LENGTH)
add("wav_data_size_of_half", WAV, lambda: _patched(40, SAMPLES), LENGTH)
for _size in (0, 1, 14, 15):
    add(f"wav_format_size_{_size}", WAV, lambda size=_size: _patched(16, size), UNDECODABLE)
add("wav_format_size_4294967295", WAV, lambda: _patched(16, _HUGE), UNDECODABLE)
for _rate in (0, 1, 3999, 4001, 2**31, _HUGE):
    add(f"wav_rate_{_rate}", WAV, lambda rate=_rate: wav(wav_format(rate_hz=rate)), RATE)
for _channels in (0, 3, 255, 65_535):
    add(
        f"wav_channels_{_channels}",
        WAV,
        lambda channels=_channels: wav(wav_format(channels=channels)),
        UNDECODABLE,
    )
for _bits in (0, 1, 12, 64, 255, 65_535):
    add(f"wav_bits_{_bits}", WAV, lambda bits=_bits: wav(wav_format(bits=bits)), UNDECODABLE)
for _frame in (0, 1, 65_535):
    add(
        f"wav_frame_of_{_frame}_bytes",
        WAV,
        lambda frame=_frame: wav(wav_format(frame_bytes=frame)),
        UNDECODABLE,
    )
# 0 unknown, 2 and 17 ADPCM, 6 and 7 logarithmic, 49 GSM, 80 MPEG, 85 mp3, 353 WMA, 61868 FLAC.
for _tag in (0, 2, 6, 7, 17, 49, 80, 85, 353, 61_868, 65_535):
    add(f"wav_codec_{_tag}", WAV, lambda tag=_tag: wav(wav_format(tag)), UNDECODABLE)


@hostile(WAV, UNDECODABLE)
def wav_of_real_ms_adpcm() -> bytes:
    return encoded(CLIP, "WAV", "MS_ADPCM")


@hostile(WAV, UNDECODABLE)
def wav_of_real_gsm() -> bytes:
    return encoded(CLIP, "WAV", "GSM610")


@hostile(WAV, UNDECODABLE)
def wav_of_mp3_frames() -> bytes:
    form = wav_format(85, bits=0, more=struct.pack("<HHIHHH", 12, 1, 2, 144, 1, 0))
    return wav(form, b"\xff\xfb\x10\xc4" * 512)


@hostile(WAV, UNDECODABLE)
def wav_adpcm_with_65535_samples_a_block() -> bytes:
    more = struct.pack("<HHH", 32, 65_535, 7) + bytes(28)
    return wav(wav_format(2, bits=4, frame_bytes=65_535, more=more))


@hostile(WAV, OK)
def wav_extensible() -> bytes:
    return wav(extensible())


@hostile(WAV, OK)
def wav_extensible_with_strange_masks() -> bytes:
    return wav(extensible(valid_bits=77, mask=_HUGE, declared=65_535))


@hostile(WAV, UNDECODABLE)
def wav_extensible_of_adpcm() -> bytes:
    return wav(extensible(b"\2\0" + bytes(14)))


@hostile(WAV, UNDECODABLE)
def wav_extensible_of_extensible() -> bytes:
    return wav(extensible(b"\xfe\xff" + bytes(14)))


@hostile(WAV, UNDECODABLE)
def wav_extensible_without_the_extension() -> bytes:
    return wav(wav_format(0xFFFE))


@hostile(WAV, UNDECODABLE)
def wav_of_eight_channels() -> bytes:
    return encoded(np.zeros((SAMPLES, 8)), "WAV")


@hostile(WAV, UNDECODABLE)
def wav_of_8000_tiny_chunks() -> bytes:
    return wav(None, PCM, chunk(b"junk", b"") * 8_000)


@hostile(WAV, LARGE)
def wav_of_a_million_tiny_chunks() -> bytes:
    return wav(None, PCM, chunk(b"junk", b"") * 1_000_000)


@hostile(WAV, OK)
def wav_with_8000_chunks_after_the_data() -> bytes:
    return GOOD_WAV + chunk(b"LIST", b"INFO") * 5_000


@hostile(WAV, OK)
def wav_with_lists_2000_deep() -> bytes:
    nested = b""
    for _ in range(2_000):
        nested = chunk(b"LIST", b"INFO" + nested)
    return wav(None, PCM, nested)


@hostile(WAV, UNDECODABLE)
def wav_with_a_chunk_of_4294967295_bytes() -> bytes:
    return wav(None, PCM, chunk(b"LIST", b"INFO", _HUGE))


@hostile(WAV, OK)
def wav_with_forged_metadata_chunks() -> bytes:
    forged = struct.pack("<I", _HUGE) * 16
    names = (b"cue ", b"smpl", b"bext", b"cart", b"acid", b"inst", b"PEAK", b"fact", b"exif")
    return wav(None, PCM, *(chunk(name, forged) for name in names))


@hostile(WAV, OK)
def wav_with_a_chunk_of_odd_length() -> bytes:
    return wav(None, PCM, chunk(b"note", b"odd"))


@hostile(WAV, UNDECODABLE)
def wav_with_data_before_the_format() -> bytes:
    return riff(chunk(b"data", PCM), chunk(b"fmt ", wav_format()))


@hostile(WAV, OK)
def wav_with_a_second_format_of_65535_channels() -> bytes:
    return wav(None, PCM, chunk(b"fmt ", wav_format(channels=65_535)))


@hostile(WAV, OK)
def wav_with_a_second_data_chunk() -> bytes:
    return GOOD_WAV + chunk(b"data", PCM)


@hostile(WAV, UNDECODABLE)
def wav_without_data() -> bytes:
    return riff(chunk(b"fmt ", wav_format()))


@hostile(WAV, LENGTH)
def wav_one_sample_short() -> bytes:
    return wav(None, PCM[:-2])


@hostile(WAV, LENGTH)
def wav_one_sample_long() -> bytes:
    return wav(None, PCM + b"\0\0")


@hostile(WAV, LARGE)
def wav_of_600_kilobytes() -> bytes:
    return wav(None, PCM * 300)


@hostile(WAV, LARGE)
def wav_of_16_mebibytes() -> bytes:
    return wav(None, PCM * 8192)


@hostile(WAV, NOT_FINITE)
def wav_of_nan() -> bytes:
    return wav(wav_format(3, bits=32), np.full(SAMPLES, np.nan, "<f4").tobytes())


@hostile(WAV, NOT_FINITE)
def wav_of_doubles_beyond_float() -> bytes:
    return wav(wav_format(3, bits=64), np.full(SAMPLES, 1e300, "<f8").tobytes())


@hostile(WAV, NOT_FINITE)
def wav_of_two_channels_of_opposite_infinities() -> bytes:
    frames = np.tile(np.array([np.inf, -np.inf], "<f4"), SAMPLES)
    return wav(wav_format(3, channels=2, bits=32), frames.tobytes())


@hostile(WAV, NOT_FINITE)
def wav_of_two_channels_whose_sum_overflows() -> bytes:
    return wav(wav_format(3, channels=2, bits=32), np.full(2 * SAMPLES, 3e38, "<f4").tobytes())


@hostile(WAV, RANGE)
def wav_of_floats_beyond_one() -> bytes:
    return wav(wav_format(3, bits=32), np.full(SAMPLES, 1.5, "<f4").tobytes())


@hostile(WAV, OK)
def wav_of_denormals() -> bytes:
    return wav(wav_format(3, bits=32), np.full(SAMPLES, 1e-40, "<f4").tobytes())


@hostile(WAV, OK)
def wav_big_endian() -> bytes:
    form = chunk(b"fmt ", wav_format(order=">"), order=">")
    data = chunk(b"data", np.frombuffer(PCM, "<i2").astype(">i2").tobytes(), order=">")
    return riff(form, data, magic=b"RIFX")


@hostile(WAV, UNDECODABLE)
def wav_big_endian_with_little_chunks() -> bytes:
    return riff(chunk(b"fmt ", wav_format()), chunk(b"data", PCM), magic=b"RIFX")


@hostile(WAV, UNDECODABLE)
def rf64_as_wav() -> bytes:
    return encoded(CLIP, "RF64")


@hostile(WAV, UNDECODABLE)
def w64_as_wav() -> bytes:
    return encoded(CLIP, "W64")


@hostile(WAV, UNDECODABLE)
def aiff_as_wav() -> bytes:
    return encoded(CLIP, "AIFF")


@hostile(WAV, UNDECODABLE)
def au_as_wav() -> bytes:
    return encoded(CLIP, "AU")


@hostile(WAV, UNDECODABLE)
def avi_as_wav() -> bytes:
    return b"RIFF" + GOOD_WAV[4:8] + b"AVI " + GOOD_WAV[12:]


@hostile(WAV, UNDECODABLE)
def wav_whose_body_is_flac() -> bytes:
    return GOOD_WAV[:12] + GOOD_FLAC


@hostile(WAV, LENGTH)
def wav_whose_data_is_flac() -> bytes:
    return wav(None, GOOD_FLAC)


@hostile(WAV, UNDECODABLE)
def flac_as_wav() -> bytes:
    return GOOD_FLAC


@hostile(WAV, RATE)
def wav_of_the_right_length_at_double_rate() -> bytes:
    return encoded(CLIP, "WAV", rate_hz=2 * RATE_HZ)
