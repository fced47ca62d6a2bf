"""The hostile corpus: named generators of bodies, each with the answers that would be right for it.

No file is kept: every one is made when it is sent. ``OK`` stands for an ordinary answer: some odd
files are legal, and a decoder that refuses those is wrong too.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

OK = "ok"
WAV, FLAC, NPY = "audio/wav", "audio/flac", "application/x-npy"
UNDECODABLE, LENGTH, RATE = "undecodable-audio", "wrong-length", "wrong-sample-rate"
LARGE, TYPE, RANGE, NOT_FINITE = "too-large", "unsupported-media-type", "out-of-range", "not-finite"

Make = Callable[[], bytes]


@dataclass(frozen=True)
class Hostile:
    """One body, the type it is sent under, and the codes that may answer it."""

    name: str
    media_type: str
    make: Make
    codes: frozenset[str]


CORPUS: dict[str, Hostile] = {}


def hostile(media_type: str, *codes: str) -> Callable[[Make], Make]:
    """Enter the decorated generator into the corpus under its own name."""

    def enter(make: Make) -> Make:
        add(make.__name__, media_type, make, *codes)
        return make

    return enter


def add(name: str, media_type: str, make: Make, *codes: str) -> None:
    """Enter a generator into the corpus.

    Raises:
        ValueError: the name is taken, or no code is right for it.
    """
    if name in CORPUS or not codes:
        raise ValueError(f"{name}: give every hostile file a name of its own and its codes")
    CORPUS[name] = Hostile(name, media_type, make, frozenset(codes))


def whole_corpus() -> dict[str, Hostile]:
    """Return every entry, by name."""
    for part in ("wav", "flac", "npy", "others"):
        importlib.import_module(f"tests.hostile.corpus_{part}")
    return CORPUS
