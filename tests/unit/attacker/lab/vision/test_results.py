"""Curves, intervals over seeds, and what the page makes of them."""

import math
import re
from pathlib import Path

import pytest
from scipy import stats

from attacker.lab.results import Estimate
from attacker.lab.vision import words
from attacker.lab.vision.cells import CellRow
from attacker.lab.vision.experiment import Cell, VisionExperiment
from attacker.lab.vision.models import ModelRow
from attacker.lab.vision.page import write_page
from attacker.lab.vision.results import (
    Mean,
    VisionResults,
    summarise,
    write_vision_results,
)
from shared.networks import WideResNet
from tests.unit.attacker.lab.vision.conftest import SMALL


def experiment(**changes: object) -> VisionExperiment:
    return VisionExperiment.model_validate({**SMALL, **changes})


def model(task: str, accuracy: float = 0.9, classes: int = 4) -> ModelRow:
    estimate = Estimate(value=accuracy, low=accuracy - 0.05, high=accuracy + 0.05)
    return ModelRow.model_validate(
        {
            "task": task,
            "checkpoint": "c" * 64,
            "classes": classes,
            "training_images": 80,
            "test_images": 20,
            "accuracy": estimate,
        }
    )


def invented(file: VisionExperiment, worth: dict[str, float]) -> VisionResults:
    """Results in which each layer of a source is ``worth`` so much, and a little more by seed."""

    def given(cell: Cell) -> float:
        return worth.get(cell.source, 0.0) * cell.first_layers * (1 + 0.02 * cell.seed)

    rows = tuple(
        CellRow(
            cell=cell,
            layers=WideResNet.LAYERS[: cell.first_layers],
            accuracy=0.3 + given(cell) + 0.01 * cell.seed,
            fidelity=0.4 + given(cell),
            kl_nats=0.5,
            training_images=50,
            train_loss=1.0,
            duration_s=2.0,
            inputs_sha256="i" * 64,
        )
        for cell in file.cells()
    )
    tasks = ["victim", *(source for source in file.sources if source != "victim")]
    return summarise(file, WideResNet.LAYERS, tuple(map(model, tasks)), rows)


@pytest.mark.parametrize("count", range(2, 11))
def test_intervals_over_seeds_are_students(count: int) -> None:
    values = [0.3 + 0.1 * math.sin(n * n) for n in range(count)]
    mean = Mean.of(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean.low, mean.high) == pytest.approx((expected.low, expected.high), abs=1e-4)
    assert mean.seeds == count


def test_one_seed_has_no_interval_and_shares_end_at_their_ends() -> None:
    alone = Mean.of([0.7])
    assert (alone.value, alone.low, alone.high, alone.verdict) == (0.7, None, None, "undecided")
    assert Mean.of_shares([0.7]) == alone
    wide = Mean.of_shares([0.1, 0.9])
    assert (wide.low, wide.high) == (0.0, 1.0)
    assert Mean.of([0.1, 0.9]).high == pytest.approx(0.5 + 12.706 * 0.4, abs=1e-3)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.1, 0.11, 0.12], "above"),
        ([-0.2, -0.21], "below"),
        ([-0.1, 0.2], "undecided"),
        ([0.2, 0.2, 0.2], "undecided"),  # no spread to judge by
    ],
)
def test_verdicts_follow_the_intervals(values: list[float], verdict: str) -> None:
    assert Mean.of(values).verdict == verdict


def test_curves_pair_by_seed_and_share_their_beginning() -> None:
    results = invented(experiment(seeds=[0, 1, 5]), {"victim": 0.1, "proxy": 0.02})
    victim, proxy = results.curves
    assert [point.first_layers for point in victim.points] == [0, 1, 4]
    assert victim.points[0] == proxy.points[0]
    assert victim.points[0].gain is None
    assert victim.points[0].accuracy.value == pytest.approx(0.32)
    last = victim.points[-1]
    assert last.accuracy.value == pytest.approx(0.32 + 0.4 * 1.04)
    assert last.fidelity.value == pytest.approx(0.4 + 0.4 * 1.04)
    for mean, size in ((last.gain, 0.3), (last.from_nothing, 0.4)):
        assert mean is not None
        paired = Mean.of([size, size * 1.02, size * 1.1])
        assert (mean.value, mean.low, mean.high) == pytest.approx(
            (paired.value, paired.low, paired.high)
        )
    assert [item.first_layers for item in results.contrasts] == [1, 4]
    for mean in (results.contrasts[1].accuracy, results.contrasts[1].fidelity):
        assert mean.value == pytest.approx(-0.32 * 1.04)
    assert results.contrasts[1].accuracy.verdict == "below"
    assert last.kl_nats.value == pytest.approx(0.5)
    assert results.answers == 50


def test_the_headline_says_what_the_intervals_decide() -> None:
    said = words.headline(invented(experiment(), {"victim": 0.1, "proxy": 0.02}))
    assert re.search(r"Given no layer.*30\.5.*given 4 of the victim's own.*70\.9", said.finding)
    assert "−32.3 points" in said.verdict
    assert said.verdict.endswith("less was learnt from them.")
    assert said.mood == "below"
    same = words.headline(invented(experiment(), {"victim": 0.1, "proxy": 0.1}))
    assert same.verdict.endswith("whether the task matters is not decided.")
    one = words.headline(invented(experiment(seeds=[3]), {"victim": 0.1}))
    assert one.mood == "undecided"
    assert "Name more seeds" in one.verdict
    alone = words.headline(invented(experiment(sources=["proxy"]), {"proxy": 0.1}))
    assert "4 of the proxy's model as its first layers" in alone.finding
    assert alone.mood == "none"


def test_a_model_at_chance_is_said_to_have_nothing_to_extract() -> None:
    results = invented(experiment(), {"victim": 0.1})
    assert words.notes(results) == []
    weak = results.model_copy(update={"models": (model("victim", 0.28), model("proxy"))})
    (note,) = words.notes(weak)
    assert "victim's task is not shown to be above chance" in note
    assert "more epochs" in note


def test_the_page_is_whole_and_refers_to_nothing(tmp_path: Path) -> None:
    results = invented(experiment(), {"victim": 0.1, "proxy": 0.02})
    weak = results.model_copy(update={"models": (model("victim", 0.28), model("proxy"))})
    card = {"command": "earshot-attacker vision <b>", "packages": {"torch": "1"}}
    page = write_page(weak, experiment(), card, tmp_path)
    html = page.read_text()
    assert words.headline(weak).finding in html.replace("&#39;", "'")
    assert words.notes(weak)[0] in html.replace("&#39;", "'")
    assert "&lt;b&gt;" in html
    assert not re.search(r"(?:src|href)=\"(?!#)", html)
    assert "http" not in re.sub(r"http-equiv|http://www\.w3\.org/\S+", "", html)
    assert html.count("<tr>") >= 2 * 3 + 2 + 2
    assert "group3" in html
    assert '<span class="tag below">below</span>' in html
    assert "image_side_px: 8" in html


def test_pages_of_one_seed_or_one_source_have_no_empty_tables(tmp_path: Path) -> None:
    for changes in ({"seeds": [0]}, {"sources": ["proxy"]}):
        file = experiment(**changes)
        html = write_page(invented(file, {"proxy": 0.1}), file, {}, tmp_path).read_text()
        assert ("<small>one seed</small>" in html) == ("seeds" in changes)
        assert ("on which task they were learnt" in html) == ("seeds" in changes)


def test_results_come_back_and_rows_become_a_table(tmp_path: Path) -> None:
    results = invented(experiment(), {"victim": 0.1})
    write_vision_results(results, tmp_path)
    text = (tmp_path / "results.json").read_text()
    assert VisionResults.model_validate_json(text) == results
    lines = (tmp_path / "cells.csv").read_text().splitlines()
    assert lines[0].startswith("source,first_layers,seed,layers,accuracy")
    assert len(lines) == 1 + len(results.rows)
    assert any(line.startswith("victim,4,1,conv1 group1 group2 group3,") for line in lines)
