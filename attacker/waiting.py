"""Waits, durations and counts, as people are told of them."""

import time


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the right form: ``1 query``, ``2 queries``."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"


def show_duration(seconds: float) -> str:
    """Return ``seconds`` as people say it: 8 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    whole = max(0, round(seconds))
    for size, unit, small, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // small} {small_unit}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def show_wait(seconds: float, now: float | None = None) -> str:
    """Return a wait with its end by the local clock: ``2 h 5 min, until 2026-11-27 03:12:10``.

    ``now`` is in seconds since the epoch, and this very moment unless given.
    """
    end = (time.time() if now is None else now) + seconds
    return (
        f"{show_duration(seconds)}, until {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(end))}"
    )
