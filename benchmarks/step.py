"""The surrogate's training step against the network's own, on the same device and in turn with it.

"Own" is the bare step: the same batch over and over, in memory and on the device already, forward,
loss, backward, Adam. "Surrogate" is the shipped fit loop over a transfer set of as many clips as
fill the time, with random shifts: proxy windows and WaveGAN clips from their memory maps, where
labelled clips lie unless they need more than 12 GiB, and WaveGAN clips made again beside the
training, as it is then. ``desk`` networks, 32 clips a step, soft labels. Limit: 0.9 of the own
rate. On a processor, clips that are made again have none: making one costs about a quarter of
training on it, on the same cores.
The same is told of processor time, all threads together: what else runs here hardly moves that.

Where there is a CUDA device, the same on it, and what bfloat16, compiled steps and pinned transfers
are worth there at ``paper`` size.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from attacker.sources import Source, SourceContext
from attacker.sources.proxy import ProxySpec
from attacker.sources.wavegan import WaveganSpec
from attacker.transfer_set import Clips, TransferSet
from benchmarks.support import report
from benchmarks.support.processes import scratch, stop_on_sigterm
from benchmarks.support.report import Figure, Report
from shared.acceleration import Acceleration, Batch
from shared.audio import to_wav
from shared.corpora import SpeakerTreeSpec
from shared.corpora.store import ClipStore
from shared.networks import KnaggCNNSpec
from shared.runtime import tune_process
from shared.soft_labels import classification_loss
from shared.training import Recipe, fit

LIMIT = 0.9
RATE_HZ, SAMPLES, SPEAKERS, BATCH = 4000, 4096, 30, 32
DESK = KnaggCNNSpec(filters=32, embedding=64)
RECIPE = Recipe(epochs=2, batch_size=BATCH, max_shift_samples=400, compile="never")
EVERYTHING = RECIPE.model_copy(
    update={
        "max_gain": 4.0,
        "max_speed": 1.1,
        "temperature": 2.0,
        "balance": 1.0,
        "weight_average": 0.99,
    }
)
PROXY, WAVEGAN = "proxy clips, kept", "WaveGAN clips, kept"
AGAIN, OPTIONS = "WaveGAN clips, made again", "proxy, all options"
_KEPT_CLIPS = 4096


def main() -> int:
    """Print the figures; return 1 where a limit is missed."""
    options = report.arguments(__doc__).parse_args()
    stop_on_sigterm()
    tune_process()
    result = Report("step")
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    with scratch() as folder:
        for device in devices:
            sources = {
                PROXY: (proxy(folder), folder / "kept.int16", RECIPE),
                WAVEGAN: (wavegan(device), folder / "made.int16", RECIPE),
                AGAIN: (wavegan(device), None, RECIPE),
                OPTIONS: (proxy(folder), folder / "kept.int16", EVERYTHING),
            }
            rounds = [measure(sources, device, options.seconds) for _ in range(options.rounds)]
            result.rounds += rounds
            result.figures += figures(rounds, device)
    result.figures += on_cuda(options.rounds, options.seconds)
    return result.finish(no_limit=options.no_limit)


def measure(
    sources: dict[str, tuple[Source, Path | None, Recipe]], device: str, seconds: float
) -> dict[str, float]:
    """Return the figures of one round; the own rate is taken before and after each surrogate's."""
    row = {}
    own = own_rate(DESK, RECIPE, device, seconds / 2)
    rates = [own]
    for name, (source, place, recipe) in sources.items():
        count = max(4, round(seconds * own.per_s / BATCH)) * BATCH
        seen = surrogate_rate(transfer_set(source, place, count), recipe, device)
        after = own_rate(DESK, RECIPE, device, seconds / 2)
        row[name] = seen.per_s * 2 / (own.per_s + after.per_s)
        row[f"{name}, processor time"] = (
            (own.processor_s + after.processor_s) / 2 / seen.processor_s
        )
        rates.append(own := after)
    row["own"] = sum(rate.per_s for rate in rates) / len(rates)
    told = ", ".join(f"{name} {value:,.2f}" for name, value in row.items())
    print(f"{device}: {told}", flush=True)
    return row


@dataclass(frozen=True)
class Rate:
    """How fast clips are trained on."""

    per_s: float
    """Clips a second."""
    processor_s: float
    """Processor time of one clip, all threads together."""


def own_rate(network: KnaggCNNSpec, recipe: Recipe, device: str, seconds: float) -> Rate:
    """Return the rate of bare steps of ``network``, over about ``seconds``."""
    place = torch.device(device)
    model = network.build(SPEAKERS).to(place).train()
    forward = Acceleration.choose(recipe, place, steps=10**9).forward_of(model)
    optimiser = torch.optim.Adam(model.parameters(), fused=place.type == "cuda")
    samples = SAMPLES if network is DESK else 4 * SAMPLES
    clips = torch.rand(recipe.batch_size, samples).sub(0.5).to(place)
    targets = torch.rand(recipe.batch_size, SPEAKERS).softmax(1).to(place)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        classification_loss(forward(clips), targets).backward()
        optimiser.step()

    return rate(step, recipe.batch_size, place, seconds)


def surrogate_rate(transfer: TransferSet, recipe: Recipe, device: str) -> Rate:
    """Return the rate of the shipped loop over its second epoch, without the validation."""
    model = DESK.build(SPEAKERS)
    epoch_ends: list[float] = []
    step_ends: list[float] = []
    result = fit(
        model,
        transfer,
        transfer.part(np.arange(BATCH)),
        recipe,
        seed=0,
        device=device,
        on_epoch=lambda epoch: epoch_ends.append(time.process_time()),
        on_step=lambda done, steps: step_ends.append(time.process_time()),
    )
    used_s = step_ends[-1] - epoch_ends[0]
    return Rate(result.epochs[1].clips_per_s, used_s / len(transfer))


def rate(call: Callable[[], object], clips: int, device: torch.device, seconds: float) -> Rate:
    """Return the rate of a ``call`` that takes ``clips`` clips on ``device``."""
    call()
    _wait(device)
    done, started, used = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - started < seconds:
        for _ in range(1 if device.type == "cpu" else 20):
            call()
            done += clips
        _wait(device)
    return Rate(done / (time.perf_counter() - started), (time.process_time() - used) / done)


def transfer_set(source: Source, place: Path | None, count: int) -> TransferSet:
    """Return ``count`` labelled clips; of kept ones some come again."""
    queries = np.arange(count) if place is None else np.arange(count) % _KEPT_CLIPS
    clips = Clips(source, np.unique(queries) if place is None else np.arange(_KEPT_CLIPS), place)
    answers = np.random.default_rng(0).dirichlet(np.ones(SPEAKERS), count).astype(np.float32)
    return TransferSet(clips, queries, answers)


def proxy(folder: Path) -> Source:
    """Return windows of a corpus of noise: what is heard does not matter here."""
    root, rng = folder / "corpus", np.random.default_rng(0)
    for speaker in ("ann", "bob"):
        (root / speaker).mkdir(parents=True, exist_ok=True)
        for number in range(8):
            wave = rng.normal(0, 0.1, 3 * RATE_HZ).clip(-1, 1).astype(np.float32)
            (root / speaker / f"{number}.wav").write_bytes(to_wav(wave, RATE_HZ))
    corpus = SpeakerTreeSpec(root=str(root)).build(folder)
    store = ClipStore.open(corpus, RATE_HZ, folder / "cache")
    return ProxySpec().build(SourceContext(RATE_HZ, SAMPLES, 0, lambda: store))


def wavegan(device: str) -> Source:
    """Return clips of the shipped generator."""

    def refuse() -> ClipStore:
        raise RuntimeError("a generator needs no corpus")

    spec = WaveganSpec(generator="attacker/wavegan/generators/desk")
    return spec.build(SourceContext(RATE_HZ, SAMPLES, 0, refuse, device))


def figures(rounds: list[dict[str, float]], device: str) -> list[Figure]:
    """Return the ratios of all rounds on one device."""
    limits = {PROXY: LIMIT, WAVEGAN: LIMIT} | ({AGAIN: LIMIT} if device != "cpu" else {})
    column = {name: [row[name] for row in rounds] for name in rounds[0]}
    own = column.pop("own")
    found = [
        Figure(f"step / own on {device}, {name}", values, limits.get(name))
        for name, values in column.items()
        if device == "cpu" or not name.endswith("processor time")
    ]
    return [*found, Figure(f"the network's own step on {device}", own, unit="clips/s")]


def on_cuda(rounds: int, seconds: float) -> list[Figure]:
    """Return what each means is worth on a CUDA device, at ``paper`` size and 64 clips a step."""
    names = ("bfloat16 / float32", "compiled / not", "pinned / pageable transfers")
    values: dict[str, list[float]] = {name: [] for name in names}
    plain = Recipe(batch_size=64, precision="float32", compile="never")
    bfloat16 = plain.model_copy(update={"precision": "bfloat16"})
    compiled = bfloat16.model_copy(update={"compile": "always"})
    for _ in range(rounds if torch.cuda.is_available() else 0):
        rates = [
            own_rate(KnaggCNNSpec(), recipe, "cuda", seconds / 2).per_s
            for recipe in (plain, bfloat16, compiled)
        ]
        values[names[0]].append(rates[1] / rates[0])
        values[names[1]].append(rates[2] / rates[1])
        values[names[2]].append(transfers("cuda", seconds / 4) / transfers(None, seconds / 4))
    note = "" if torch.cuda.is_available() else "no CUDA device here"
    return [Figure(f"cuda, {name}", found, note=note) for name, found in values.items()]


def transfers(pinned_for: str | None, seconds: float) -> float:
    """Return how many ``paper`` clips a second are copied from the host, pinned or not."""
    cuda = torch.device("cuda")
    batch = Batch(torch.rand(64, 4 * SAMPLES), torch.rand(64, SPEAKERS))
    there = Acceleration(cuda, bfloat16=False, compiled=False)
    ready = batch if pinned_for is None else there.ready(batch)
    return rate(lambda: there.moved(ready), 64, cuda, seconds).per_s


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
