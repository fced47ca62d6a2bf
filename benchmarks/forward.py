"""Measure the network's own batched forward rate, in one process: the limit of any service.

Asked by a line of seconds, it answers ``{"plain": clips/s, "folded": clips/s}`` of the best batch
size, so that a caller can interleave it with other work: of one call at a time on all processors,
and, as ``"plain, side by side"``, of as many calls as there are processors. The latter is what a
service does, and quicker: one call waits for the slowest processor at every layer.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from benchmarks.support.worker import answer
from shared.networks import KnaggCNNSpec
from shared.runtime import available_processors, tune_process
from victim_service.cpu_form import fold_batch_norms

SAMPLES, SPEAKERS = 4096, 20
BATCHES = (8, 16, 32, 64, 128)


def rate(network: torch.nn.Module, batch: int, seconds: float, calls: int) -> float:
    """Return the clips/s of ``network``, over about ``seconds``, with ``calls`` at a time."""
    clips = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (batch, SAMPLES)))
    clips = clips.float()

    def call() -> float:
        torch.set_num_threads(max(1, available_processors() // calls))  # each thread has its own
        with torch.inference_mode():
            network(clips).softmax(1)
            done, started = 0, time.perf_counter()
            while time.perf_counter() - started < seconds:
                network(clips).softmax(1)
                done += batch
            return done / (time.perf_counter() - started)

    with ThreadPoolExecutor(calls) as pool:
        return sum(pool.map(lambda _: call(), range(calls)))


def main() -> None:
    """Answer every line of standard input with one measurement."""
    tune_process(available_processors())
    plain = KnaggCNNSpec(filters=32, embedding=64).build(SPEAKERS).eval()
    folded = KnaggCNNSpec(filters=32, embedding=64).build(SPEAKERS).eval()
    fold_batch_norms(folded)
    networks = {"plain": plain, "folded": folded}
    ways = (1, available_processors())
    best = {
        (name, calls): max((rate(network, size, 0.4, calls), size) for size in BATCHES)[1]
        for name, network in networks.items()
        for calls in ways
    }
    answer(
        lambda seconds: {
            f"{name}, side by side" if way > 1 else name: rate(
                network, best[name, way], seconds / 2, way
            )
            for name, network in networks.items()
            for way in ways
        }
    )


def save_victim(folder: Path) -> None:
    """Write a ``desk`` victim with random weights: what it answers does not matter here."""
    from shared import checkpoint

    torch.manual_seed(0)
    spec = KnaggCNNSpec(filters=32, embedding=64)
    card = {
        "kind": "victim",
        "network": spec.model_dump(),
        "labels": [f"speaker-{number}" for number in range(SPEAKERS)],
        "sample_rate_hz": 4000,
        "clip_samples": SAMPLES,
    }
    checkpoint.save(folder, spec.build(SPEAKERS).state_dict(), card)


if __name__ == "__main__":
    main()
