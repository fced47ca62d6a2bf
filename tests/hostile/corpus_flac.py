"""FLAC files that expand, lie, are cut, or carry something else."""

import struct

import numpy as np

from tests.hostile.corpus import FLAC, LARGE, LENGTH, OK, RATE, UNDECODABLE, add, hostile
from tests.hostile.make import (
    CLIP,
    GOOD_FLAC,
    GOOD_WAV,
    SAMPLES,
    block,
    chunk,
    encoded,
    flac,
    frame,
    riff,
    streaminfo,
)

_MAX_TOTAL = 2**36 - 1

for _cut in (1, 4, 5, 8, 12, 18, 26, 41, 42):
    add(f"flac_cut_at_byte_{_cut}", FLAC, lambda cut=_cut: GOOD_FLAC[:cut], UNDECODABLE)
add("flac_cut_in_the_frame_header", FLAC, lambda: flac(frame()[:5]), UNDECODABLE)
add("flac_cut_in_a_frame", FLAC, lambda: GOOD_FLAC[: len(GOOD_FLAC) // 2], UNDECODABLE)
add("flac_cut_in_the_checksum", FLAC, lambda: GOOD_FLAC[:-1], UNDECODABLE)

for _total in (1, SAMPLES - 1, SAMPLES + 1, 10**9, _MAX_TOTAL):
    add(
        f"flac_total_of_{_total}",
        FLAC,
        lambda total=_total: flac(frame(), info=streaminfo(total=total)),
        LENGTH,
    )
# Programs that write to a pipe cannot go back to say how many samples there are.
add("flac_total_unknown", FLAC, lambda: flac(frame(), info=streaminfo(total=0)), OK)
for _rate in (0, 1, 3999, 0xFFFFF):
    add(
        f"flac_rate_{_rate}",
        FLAC,
        lambda rate=_rate: flac(frame(), info=streaminfo(rate_hz=rate)),
        RATE,
    )
for _bits in (1, 4, 12, 32):
    add(
        f"flac_bits_{_bits}",
        FLAC,
        lambda bits=_bits: flac(frame(), info=streaminfo(bits=bits)),
        UNDECODABLE,
    )
for _sizes in ((0, 0), (65_535, 16), (1, 1), (65_535, 65_535)):
    # The header's block sizes are a hint; each frame has its own.
    add(
        f"flac_block_sizes_{_sizes[0]}_to_{_sizes[1]}",
        FLAC,
        lambda sizes=_sizes: flac(frame(), info=streaminfo(blocks=sizes)),
        OK,
        UNDECODABLE,
    )


@hostile(FLAC, LENGTH)
def flac_silence_bomb() -> bytes:
    return encoded(np.zeros(2_000_000))


@hostile(FLAC, LENGTH)
def flac_bomb_of_constant_frames() -> bytes:
    """65,535 samples in 13 bytes: expands 10,000 times as 16 bits, 20,000 times as floats."""
    frames = [frame(number, 65_535) for number in range(1_000)]
    return flac(*frames, info=streaminfo(total=0))


@hostile(FLAC, UNDECODABLE)
def flac_bomb_whose_header_says_one_clip() -> bytes:
    frames = [frame(number, 65_535, channels=8) for number in range(1_000)]
    return flac(*frames)


@hostile(FLAC, UNDECODABLE)
def flac_bomb_of_rejected_frames() -> bytes:
    return flac(*(frame(number, 65_535, channels=8, crc_fault=1) for number in range(1_000)))


@hostile(FLAC, UNDECODABLE)
def flac_bomb_of_30_kilobytes_and_unknown_total() -> bytes:
    frames = [frame(number, 65_535, channels=8) for number in range(850)]
    return flac(*frames, info=streaminfo(total=0))


@hostile(FLAC, UNDECODABLE)
def flac_of_frame_headers_only() -> bytes:
    return flac(*(frame(number % 128, 65_535, channels=8)[:9] for number in range(5_000)))


@hostile(FLAC, UNDECODABLE)
def flac_of_sync_codes() -> bytes:
    return flac(b"\xff\xf8" * 30_000)


@hostile(FLAC, UNDECODABLE)
def flac_with_a_crc_fault() -> bytes:
    return flac(frame(crc_fault=1))


@hostile(FLAC, UNDECODABLE)
def flac_with_a_late_crc_fault() -> bytes:
    return flac(frame(0, 512), frame(1, 512, crc_fault=0x8000))


@hostile(FLAC, UNDECODABLE)
def flac_with_a_flipped_bit() -> bytes:
    body = bytearray(GOOD_FLAC)
    body[-200] ^= 1
    return bytes(body)


@hostile(FLAC, UNDECODABLE)
def flac_with_a_gap_of_noise() -> bytes:
    return flac(frame(0, 512), b"\xaa" * 3_000, frame(1, 512))


@hostile(FLAC, UNDECODABLE)
def flac_whose_frame_has_eight_channels() -> bytes:
    return flac(frame(channels=8))


@hostile(FLAC, UNDECODABLE)
def flac_of_eight_channels() -> bytes:
    return flac(frame(channels=8), info=streaminfo(channels=8))


@hostile(FLAC, OK)
def flac_whose_frame_has_more_bits_than_its_header() -> bytes:
    return flac(frame(bits=24, value=2**22))


@hostile(FLAC, UNDECODABLE)
def flac_without_frames() -> bytes:
    return flac()


@hostile(FLAC, OK)
def flac_with_bytes_after_the_audio() -> bytes:
    return GOOD_FLAC + bytes(20_000)


@hostile(FLAC, UNDECODABLE)
def flac_of_7000_empty_blocks() -> bytes:
    return flac(frame(), blocks=[(1, b"")] * 7_000)


@hostile(FLAC, UNDECODABLE)
def flac_of_4000_application_blocks() -> bytes:
    return flac(frame(), blocks=[(2, b"abcd")] * 4_000)


@hostile(FLAC, LARGE)
def flac_with_a_picture_of_16_mebibytes() -> bytes:
    picture = struct.pack(">II", 3, 9) + b"image/png" + bytes(2**24 - 100)
    return flac(frame(), blocks=[(6, picture)])


@hostile(FLAC, OK)
def flac_with_a_picture_that_claims_4_gibibytes() -> bytes:
    return flac(frame(), blocks=[(6, struct.pack(">II", 3, 0xFFFF_FFFF))])


@hostile(FLAC, OK)
def flac_with_4294967295_comments() -> bytes:
    return flac(frame(), blocks=[(4, struct.pack("<II", 0, 0xFFFF_FFFF))])


@hostile(FLAC, OK)
def flac_with_15000_empty_comments() -> bytes:
    return flac(frame(), blocks=[(4, struct.pack("<II", 0, 15_000) + bytes(60_000))])


@hostile(FLAC, OK)
def flac_with_a_forged_cue_sheet() -> bytes:
    return flac(frame(), blocks=[(5, bytes(395) + b"\xff" * 400)])


@hostile(FLAC, OK)
def flac_with_a_seek_table_of_nonsense() -> bytes:
    return flac(frame(), blocks=[(3, b"\xfe" * 18 * 1_000)])


@hostile(FLAC, UNDECODABLE)
def flac_with_a_block_of_16_mebibytes_that_is_not_there() -> bytes:
    return b"fLaC" + block(0, streaminfo()) + block(6, frame(), last=True, size=2**24 - 1)


@hostile(FLAC, UNDECODABLE)
def flac_with_two_stream_headers() -> bytes:
    return flac(frame(), blocks=[(0, streaminfo(channels=8))])


@hostile(FLAC, UNDECODABLE)
def flac_without_a_stream_header() -> bytes:
    return b"fLaC" + block(1, bytes(34), last=True) + frame()


@hostile(FLAC, UNDECODABLE)
def flac_with_a_short_stream_header() -> bytes:
    return b"fLaC" + block(0, streaminfo()[:18], last=True) + frame()


@hostile(FLAC, UNDECODABLE)
def flac_with_a_block_of_the_forbidden_kind() -> bytes:
    return flac(frame(), blocks=[(127, b"")])


@hostile(FLAC, UNDECODABLE)
def flac_after_an_id3_tag() -> bytes:
    return b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + GOOD_FLAC


@hostile(FLAC, UNDECODABLE)
def flac_in_ogg() -> bytes:
    head = b"OggS\0\2" + bytes(20) + b"\1\x33"
    return head + b"\x7fFLAC\1\0\0\1" + GOOD_FLAC


@hostile(FLAC, UNDECODABLE)
def vorbis_as_flac() -> bytes:
    pages = encoded(CLIP, "OGG", "VORBIS", 8000).split(b"OggS")
    # The serial number and the checksum of each page change from one time to the next.
    return b"OggS".join(page[:10] + bytes(12) + page[22:] for page in pages)


@hostile(FLAC, UNDECODABLE)
def flac_whose_body_is_wav() -> bytes:
    return b"fLaC" + GOOD_WAV


@hostile(FLAC, UNDECODABLE)
def flac_whose_frames_are_wav() -> bytes:
    return flac(GOOD_WAV)


@hostile(FLAC, UNDECODABLE)
def flac_in_a_riff_chunk() -> bytes:
    return riff(chunk(b"fLaC", GOOD_FLAC[4:]))


@hostile(FLAC, UNDECODABLE)
def wav_as_flac() -> bytes:
    return GOOD_WAV


@hostile(FLAC, OK)
def flac_of_64_tiny_frames() -> bytes:
    return flac(*(frame(number, 16, value=number) for number in range(64)))


@hostile(FLAC, RATE)
def flac_of_another_rate() -> bytes:
    return encoded(CLIP, rate_hz=8000)
