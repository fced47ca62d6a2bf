"""The defences: what each adds to a clip of 1,251 labels on one thread, in a batch of 64 and alone.

The first example of every defence of the table, on a plan that has nothing else; the digest of the
clips (16,384 samples), which any chain takes once, is in each figure, and told alone. Half of the
rows are sure of a label. Processor time, so that other work on the machine counts for little; the
figure is the median of all calls of a round. Limit: 1 ms a clip, and 5 ms for the defences that
solve a problem for each row.
"""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from benchmarks.support import report
from benchmarks.support.processes import stop_on_sigterm
from benchmarks.support.report import Figure, Report
from tests.support.defence_examples import EXAMPLES
from victim_service.defences import DEFENCES, Asked, clip_digests, defend

BATCHES, SAMPLES, CLASSES = (64, 1), 16_384, 1251
LIMIT_MS = 1.0
SOLVERS = {"gradient_redirection", "mad", "modelguard_s", "modelguard_w"}
SOLVER_LIMIT_MS = 5.0
DIGEST = "the digest alone"


def main() -> int:
    """Print the figures; return 1 where a limit is missed."""
    options = report.arguments(__doc__, seconds=0.3).parse_args()
    stop_on_sigterm()
    result = Report("defences")
    calls = {(name, size): call for size in BATCHES for name, call in works(size).items()}
    for call in calls.values():
        call()
    for _ in range(options.rounds):
        row = {
            f"{name}, {size} at a time": per_clip_ms(call, size, options.seconds)
            for (name, size), call in calls.items()
        }
        result.rounds.append(row)
        print(", ".join(f"{name} {value:.3f}" for name, value in row.items()), flush=True)
    result.figures = [figure(name, [row[name] for row in result.rounds]) for name in row]
    return result.finish(no_limit=options.no_limit)


def works(clips: int) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name: a call for each defence, which answers ``clips`` clips."""
    rng = np.random.default_rng(0)
    waves = rng.uniform(-1, 1, (clips, SAMPLES)).astype(np.float32)
    asked = Asked(b"s" * 32, "alice", "c" * 64, "soft", 1)
    found: dict[str, Callable[[], object]] = {
        kind: partial(defend, rows(clips, rng), waves, EXAMPLES[kind][:1], asked)
        for kind in sorted(DEFENCES)
    }
    return found | {DIGEST: partial(clip_digests, waves)}


def rows(clips: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return rows (B, 1251) as a model gives them: the softmax of random logits."""
    logits = rng.normal(0, 2, (clips, CLASSES))
    logits[::2, 0] += 15
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    made: npt.NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return made


def per_clip_ms(call: Callable[[], object], clips: int, seconds: float) -> float:
    """Return the median processor time of a clip, over at least five calls on ``clips`` clips."""
    took: list[float] = []
    while len(took) < 5 or sum(took) < seconds:
        begun = time.thread_time()
        call()
        took.append(time.thread_time() - begun)
    return 1000 * statistics.median(took) / clips


def figure(name: str, values: list[float]) -> Figure:
    """Return a figure with the limit that goes with its name."""
    kind = name.partition(",")[0]
    if kind == DIGEST:
        return Figure(name, values, unit="ms/clip")
    limit = SOLVER_LIMIT_MS if kind in SOLVERS else LIMIT_MS
    return Figure(name, values, limit, kind="at most", unit="ms/clip")


if __name__ == "__main__":
    sys.exit(main())
