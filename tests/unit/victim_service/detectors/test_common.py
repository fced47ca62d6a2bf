"""What every detector of the table must keep."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from shared.config import ConfigError, validate
from tests.support.detector_streams import LARGE, SMALL, World
from victim_service.detectors import DETECTORS, Detector, DetectorSpec, Memory, Seen
from victim_service.detectors.running import advance, scores

WORLD = World()
ATTACKS: dict[str, Callable[[World, int], Seen]] = {
    "coverage": World.everybody,
    "energy_cusum": World.strangers,
    "fingerprints": World.jittered,
    "hardness": World.strangers,
    "leakage": World.everybody,
    "mmd_window": World.strangers,
    "prada": World.chain,
    "seat": World.jittered,
}
"""The stream that each idea was made for."""
BYTES = {"coverage": 1_000, "energy_cusum": 100, "hardness": 3_000, "mmd_window": 10_000}
MOST_BYTES, MOST_BYTES_LARGE = 64_000, 130_000

HONEST = [
    [user(WORLD, 250, seed) for seed in seeds for user in (World.one_speaker, World.two_speakers)]
    for seeds in (range(6), range(6, 8))
]
"""Streams that thresholds are fitted to, and others."""

every_kind = pytest.mark.parametrize("kind", DETECTORS)


def spec_of(kind: str, **settings: object) -> DetectorSpec:
    return DETECTORS[kind](kind=kind, **settings)


def equal(one: Memory, other: Memory) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and np.array_equal(one[name], other[name])
        for name in one
    )


def fed(detector: Detector, seen: Seen, batch: int) -> tuple[Memory, list[tuple[int, float]]]:
    memory, readings = detector.begin(), []
    for start in range(0, len(seen), batch):
        part = seen.part(start, start + batch)
        memory, found = advance(detector, memory, start, part)
        readings += found
    return memory, readings


def size(memory: Memory) -> int:
    return sum(array.nbytes for array in memory.values())


def test_every_row_of_the_table_has_an_attack():
    assert set(ATTACKS) == set(DETECTORS)


@every_kind
def test_cuts_into_batches_do_not_matter(kind):
    detector = spec_of(kind, window=20).build(WORLD.reference)
    stream = WORLD.everybody(110)
    whole, readings = fed(detector, stream, 110)
    assert [place for place, _ in readings] == [20, 40, 60, 80, 100]
    for batch in (1, 7, 20, 33):
        memory, found = fed(detector, stream, batch)
        assert found == readings
        assert equal(memory, whole)


@every_kind
def test_nothing_is_written_in_place_and_all_is_repeatable(kind):
    one, other = (spec_of(kind).build(WORLD.reference) for _ in range(2))
    stream, begun = WORLD.everybody(120), one.begin()
    memory = one.extend(begun, stream.part(0, 30))
    assert equal(begun, one.begin())
    before = {name: array.copy() for name, array in memory.items()}
    one.extend(memory, stream.part(30, 50))
    one.score(memory)
    one.close(memory)
    assert equal(memory, before)
    assert fed(one, stream, 40)[1] == fed(other, stream, 40)[1]


@every_kind
def test_memory_is_bounded_and_survives_the_ledger(kind):
    detector = spec_of(kind).build(WORLD.reference)
    stream = WORLD.jittered(1250)
    memory, sizes = detector.begin(), []
    for start in range(0, 5000, 1250):  # the second time round, everything is a repeat
        memory, _ = advance(detector, memory, start, stream)
        sizes.append(size(memory))
    assert sizes == [size(detector.begin())] * 4
    assert sizes[0] <= BYTES.get(kind, MOST_BYTES)
    kept = load(save({name: np.ascontiguousarray(array) for name, array in memory.items()}))
    assert equal(kept, memory)
    after, again = (
        advance(detector, state, 5000, WORLD.everybody(75))[1] for state in (memory, kept)
    )
    assert after == again


@every_kind
@pytest.mark.parametrize("shape", [(2, 8), LARGE])
def test_few_and_many_labels(kind, shape):
    world = World(*shape)
    detector = spec_of(kind, window=25).build(world.reference)
    for stream in (world.everybody(75), world.strangers(75)):
        memory, readings = fed(detector, stream, 25)
        assert len(readings) == 3
        assert all(np.isfinite(score) and score >= 0 for _, score in readings)
        assert size(memory) <= MOST_BYTES_LARGE


@every_kind
def test_honest_streams_give_no_alarm_and_the_attack_does(kind):
    detector = spec_of(kind).build(WORLD.reference)
    fitted, honest = ([s for stream in part for s in scores(detector, stream)] for part in HONEST)
    threshold = max(fitted) + 0.25 * (max(fitted) - np.median(fitted))
    assert max(honest) <= threshold
    assert max(scores(detector, ATTACKS[kind](WORLD, 300))) > threshold


@every_kind
def test_degenerate_clips_are_scored(kind):
    """Silence, one-hot rows, and the same clip again and again."""
    detector = spec_of(kind, window=25).build(WORLD.reference)
    rows = np.zeros((50, SMALL[0]), np.float32)
    rows[:, 3] = 1
    still = Seen(np.zeros((50, SMALL[1]), np.float32), rows, np.zeros((50, 1024), np.float32))
    assert all(np.isfinite(score) for score in scores(detector, still))


@every_kind
def test_a_spec_is_read_as_it_is_written_and_refuses_the_rest(kind):
    spec = spec_of(kind, threshold=0.5)
    assert validate(spec.model_dump(mode="json"), DETECTORS[kind], origin="p") == spec
    for wrong in ({"window": 1}, {"window": 20_000}, {"threshold": float("nan")}, {"odd": 1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            validate({"kind": kind, **wrong}, DETECTORS[kind], origin="p")


@every_kind
def test_a_threshold_that_no_window_passes_or_every_one_does_is_refused(kind):
    spec = spec_of(kind)

    def read(threshold: float) -> DetectorSpec:
        return validate({"kind": kind, "threshold": threshold}, DETECTORS[kind], origin="p")

    assert read(spec.lowest).threshold == spec.lowest
    for low in (-1.0, np.nextafter(spec.lowest, -1).item()):
        with pytest.raises(ConfigError, match=r"is passed by every window.* Set a higher one"):
            read(low)
    if np.isfinite(spec.most):
        assert read(np.nextafter(spec.most, 0).item())
        for high in (spec.most, 5.0):
            with pytest.raises(ConfigError, match=r"is never passed.* Set a lower one"):
                read(high)


@every_kind
def test_no_score_is_below_the_lowest_that_there_is(kind):
    spec = spec_of(kind)
    detector = spec.build(WORLD.reference)
    for stream in (WORLD.one_speaker, WORLD.everybody, WORLD.jittered):
        assert min(scores(detector, stream(200))) >= spec.lowest


@every_kind
def test_the_page_tells_of_it(kind):
    page = (Path(__file__).parents[4] / "docs" / "detectors.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith(f"| `{kind}` |")]
    assert rows
    for field in set(DETECTORS[kind].model_fields) - {"kind", "threshold", "window"}:
        assert f"`{field}`" in rows[0]
