"""The detectors: what each adds to a clip, and what the ledger keeps of an account.

Clips of 4,096 samples at 4 kHz, 30 labels and embeddings of 64 numbers, then 1,251 labels and 128
numbers, windows of 50; processor time on one thread, with the score of each window in it.
``python -m benchmarks.detectors``.
"""

import sys
import time

import numpy as np

from tests.support.detector_streams import LARGE, SMALL, World
from victim_service.detectors import DETECTORS, Seen
from victim_service.detectors.running import advance

CLIPS, SAMPLES = 400, 4096


def main() -> int:
    """Print a row for each detector and size."""
    print("kind | labels | ms/clip | bytes an account")
    for classes, size in (SMALL, LARGE):
        world = World(classes, size)
        stream = world.everybody(CLIPS)
        rng = np.random.default_rng(0)
        waves = rng.uniform(-1, 1, (CLIPS, SAMPLES)).astype(np.float32)
        seen = Seen(stream.embeddings, stream.probabilities, waves)
        for kind, spec in sorted(DETECTORS.items()):
            detector = spec(kind=kind).build(world.reference)
            begun = time.thread_time()
            memory, _ = advance(detector, detector.begin(), 0, seen)
            took = 1000 * (time.thread_time() - begun) / CLIPS
            kept = sum(array.nbytes for array in memory.values())
            print(f"{kind} | {classes} | {took:.3f} | {kept}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
