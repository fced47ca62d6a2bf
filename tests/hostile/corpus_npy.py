"""npy files with headers, types and values that a careless reader would act upon."""

import io
import pickle

import numpy as np

from shared.audio import to_npy
from tests.hostile.corpus import (
    LARGE,
    LENGTH,
    NOT_FINITE,
    NPY,
    OK,
    RANGE,
    UNDECODABLE,
    add,
    hostile,
)
from tests.hostile.make import CLIP, GOOD_FLAC, GOOD_NPY, GOOD_WAV, MOST, PCM, SAMPLES, npy
from tests.hostile.make import npy_header as header

_START = 10 + int.from_bytes(GOOD_NPY[8:10], "little")

for _cut in (1, 6, 7, 8, 9, 10, 11, 12, 40, _START - 1):
    add(f"npy_cut_at_byte_{_cut}", NPY, lambda cut=_cut: GOOD_NPY[:cut], UNDECODABLE)
add("npy_cut_after_the_header", NPY, lambda: GOOD_NPY[:_START], UNDECODABLE)
add("npy_cut_in_mid_sample", NPY, lambda: GOOD_NPY[:-1], UNDECODABLE)

_DTYPES = (
    *("<f8", "<f2", "<f16", "<i8", "<i4", "<u2", "|i1", "|u1", "|b1", "|O", "O", "|S2", "<U1"),
    *("|V2", "<c8", "<M8[s]", "<m8[ns]", "no dtype", "", "f4,f4", "(1000000,)f4", "<f4" * 900),
)
for _place, _dtype in enumerate(_DTYPES):
    add(
        f"npy_dtype_{_place}",
        NPY,
        lambda dtype=_dtype: npy(header(descr=dtype)),
        UNDECODABLE,
    )
for _version in ((0, 0), (1, 1), (4, 0), (9, 0), (255, 255)):
    add(
        f"npy_version_{_version[0]}_{_version[1]}",
        NPY,
        lambda version=_version: npy(header(), version=version),
        UNDECODABLE,
    )
for _version in ((2, 0), (3, 0)):
    add(f"npy_version_{_version[0]}_0", NPY, lambda v=_version: npy(header(), version=v), OK)
_SHAPES: dict[str, tuple[object, tuple[str, ...]]] = {
    "overflow": ((2**62, 2**62), (LENGTH, UNDECODABLE)),
    "wrap_to_zero": ((2**32, 2**32), (LENGTH, UNDECODABLE)),
    "wrap_to_one_clip": ((2**64 + 1, SAMPLES), (UNDECODABLE,)),
    "billions_of_clips": ((2**33, SAMPLES), (LARGE,)),
    "negative": ((-1, SAMPLES), (UNDECODABLE,)),
    "negative_twice": ((-1, -SAMPLES), (UNDECODABLE,)),
    "nine_dimensions": ((1,) * 8 + (SAMPLES,), (UNDECODABLE,)),
    "three_dimensions": ((1, 1, SAMPLES), (LENGTH,)),
    "scalar": ((), (LENGTH,)),
    "no_clips": ((0, SAMPLES), (LENGTH,)),
    "no_samples": ((1, 0), (LENGTH,)),
    "nested": (((1, SAMPLES),), (UNDECODABLE,)),
    "list": ([1, SAMPLES], (UNDECODABLE,)),
    "number": (SAMPLES, (UNDECODABLE,)),
    "floats": ((1.0, 1024.0), (UNDECODABLE,)),
    "booleans": ((True, SAMPLES), (UNDECODABLE,)),
    "text": ("1024", (UNDECODABLE,)),
    "one_clip_more_than_declared_bytes": ((2, SAMPLES), (UNDECODABLE,)),
}
for _name, (_shape, _codes) in _SHAPES.items():
    add(f"npy_shape_{_name}", NPY, lambda shape=_shape: npy(header(shape)), *_codes)
_HEADERS = {
    "empty": "",
    "call": "__import__('os').system('true')",
    "deep_parentheses": "(" * 4_000,
    "deep_tuples": "{'descr':'<i2','fortran_order':False,'shape':" + "(" * 900 + ")" * 900 + "}",
    "deep_lists": "[" * 2_000 + "]" * 2_000,
    "minus_signs": "-" * 4_000 + "1",
    "thousands_of_digits": "{'descr':'<i2','fortran_order':False,'shape':(" + "9" * 3_900 + ",)}",
    "hexadecimal": "{'descr':'<i2','fortran_order':False,'shape':(0x400,)}",
    "null": "\0" * 64,
    "not_ascii": "\xff\xfe" * 32,
    "no_shape": "{'descr':'<i2','fortran_order':False}",
    "two_shapes": "{'descr':'<i2','shape':(1024,),'shape':(1,1024)}",
    "more_keys": "{'descr':'<i2','fortran_order':False,'shape':(1024,),'more':1}",
    "fortran_of_number": "{'descr':'<i2','fortran_order':0,'shape':(1024,)}",
    "list_of_fields": "{'descr':[('x','<i2')],'fortran_order':False,'shape':(1024,)}",
    "unhashable": "{[]: 1}",
    "not_closed": "{'descr':'<i2','fortran_order':False,'shape':(1024,)",
    "json": '{"descr": "<i2", "fortran_order": false, "shape": [1024]}',
    "65000_spaces": header() + " " * 65_000,
}
for _name, _text in _HEADERS.items():
    add(f"npy_header_{_name}", NPY, lambda text=_text: npy(text), UNDECODABLE)


@hostile(NPY, UNDECODABLE)
def npy_header_of_4_gibibytes() -> bytes:
    return npy(header(), version=(2, 0), size=0xFFFF_FFFF)


@hostile(NPY, UNDECODABLE)
def npy_header_longer_than_the_file() -> bytes:
    return npy(header(), b"", size=4_000)


@hostile(NPY, UNDECODABLE)
def npy_of_objects() -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    return file.getvalue()


class _Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("a pickle was opened",))


@hostile(NPY, UNDECODABLE)
def npy_is_a_pickle() -> bytes:
    return pickle.dumps(_Harm())


@hostile(NPY, UNDECODABLE)
def npy_with_a_pickle_for_data() -> bytes:
    return npy(header((1,), "|O"), pickle.dumps(_Harm()))


@hostile(NPY, UNDECODABLE)
def npy_structured() -> bytes:
    return to_npy(np.zeros(SAMPLES, [("left", "<i2"), ("right", "<i2")]))


@hostile(NPY, OK)
def npy_in_fortran_order() -> bytes:
    return to_npy(np.asfortranarray(np.zeros((3, SAMPLES), np.float32)))


@hostile(NPY, OK)
def npy_big_endian() -> bytes:
    return to_npy(CLIP.astype(">f4"))


@hostile(NPY, UNDECODABLE)
def npy_of_doubles() -> bytes:
    return to_npy(CLIP.astype(np.float64))


def _with_sample(value: float) -> bytes:
    clips = np.tile(CLIP, (3, 1))
    clips[1, 77] = value
    return to_npy(clips)


for _name, _value, _code in (
    ("nan", np.nan, NOT_FINITE),
    ("infinity", np.inf, NOT_FINITE),
    ("minus_infinity", -np.inf, NOT_FINITE),
    ("largest_float", 3.4e38, RANGE),
    ("hardly_beyond_one", 1.0000001, RANGE),
    ("beyond_minus_one", -1.5, RANGE),
    ("denormal", 1e-45, OK),
    ("minus_zero", -0.0, OK),
    ("one", 1.0, OK),
):
    add(f"npy_with_{_name}", NPY, lambda value=_value: _with_sample(value), _code)


@hostile(NPY, OK)
def npy_of_denormals() -> bytes:
    return to_npy(np.full((4, SAMPLES), 1e-40, np.float32))


@hostile(NPY, LENGTH)
def npy_one_sample_short() -> bytes:
    return to_npy(np.zeros((1, SAMPLES - 1), np.int16))


@hostile(NPY, LENGTH)
def npy_one_sample_long() -> bytes:
    return to_npy(np.zeros((1, SAMPLES + 1), np.int16))


@hostile(NPY, UNDECODABLE)
def npy_with_a_byte_after_the_data() -> bytes:
    return GOOD_NPY + b"\0"


@hostile(NPY, LARGE)
def npy_of_one_clip_too_many() -> bytes:
    return to_npy(np.zeros((MOST + 1, SAMPLES), np.int16))


@hostile(NPY, LARGE)
def npy_of_16_mebibytes() -> bytes:
    return npy(header((8192, SAMPLES)), PCM * 8192)


@hostile(NPY, UNDECODABLE)
def npz_as_npy() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, clips=np.zeros((64, SAMPLES), np.int16))
    return file.getvalue()


@hostile(NPY, UNDECODABLE)
def wav_as_npy() -> bytes:
    return GOOD_WAV


@hostile(NPY, UNDECODABLE)
def flac_as_npy() -> bytes:
    return GOOD_FLAC
