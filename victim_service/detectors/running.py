"""A stream of clips through a detector, window by window."""

from collections.abc import Iterator

from victim_service.detectors.base import Detector, Memory, Seen


def advance(
    detector: Detector, memory: Memory, begun: int, seen: Seen
) -> tuple[Memory, list[tuple[int, float]]]:
    """Return the memory after ``seen``, and (clips so far, score) of each window that it filled.

    ``begun`` clips came before ``seen``; windows are counted from the account's first clip.
    """
    readings: list[tuple[int, float]] = []
    start = 0
    while start < len(seen):
        stop = min(start + detector.window - (begun + start) % detector.window, len(seen))
        memory = detector.extend(memory, seen.part(start, stop))
        start = stop
        if (begun + stop) % detector.window == 0:
            readings.append((begun + stop, detector.score(memory)))
            memory = detector.close(memory)
    return memory, readings


def scores(detector: Detector, seen: Seen) -> Iterator[float]:
    """Yield the score of each whole window of a new account's stream."""
    yield from (score for _, score in advance(detector, detector.begin(), 0, seen)[1])
