"""Experiment files: the ones that ship, and each way to get one wrong."""

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

import attacker
from attacker.errors import ExperimentError, KnowledgeMissing
from attacker.experiment import Experiment, load_experiment
from attacker.journal import Rows
from attacker.known_defences.rounding import KnownRounding
from attacker.material import Material
from attacker.surrogate import MarkInputs
from shared.config import ConfigError, dump_yaml
from shared.contract import ModelCard
from shared.corpora import CorpusError

SHIPPED = sorted((Path(attacker.__file__).parent / "experiments").glob("*.yaml"))
GOOD: dict[str, Any] = {
    "name": "good",
    "proxy": {"kind": "speaker_tree", "root": "somewhere"},
    "budget": 100,
    "marks": [50, 100],
    "campaigns": [
        {"name": "one", "source": {"kind": "proxy"}, "sampler": {"kind": "keep_all"}},
        {
            "name": "two",
            "source": {"kind": "amplify"},
            "sampler": {"kind": "static_threshold", "tau": 3},
            "iterations": 2,
        },
    ],
    "surrogate": {"network": {"kind": "knagg_cnn"}, "recipe": {"epochs": 1}},
}
Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(data: dict[str, Any]) -> Path:
        path = tmp_path / "experiment.yaml"
        path.write_text(yaml.safe_dump(data))
        return path

    return to_file


def changed(**changes: Any) -> dict[str, Any]:
    """Return GOOD with values replaced at dotted paths (``__`` for a dot)."""
    data = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place: Any = data
        for name in parents:
            place = place[int(name) if name.isdigit() else name]
        place[last] = value
    return data


def test_experiments_ship() -> None:
    assert {"demo", "asc"} <= {path.stem for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_ships_is_valid_and_says_how_to_run_it(path: Path) -> None:
    experiment = load_experiment(path)
    assert experiment.name == path.stem
    comment = "".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert "earshot-attacker run" in comment


def test_a_resolved_experiment_reads_back_the_same(write: Write, tmp_path: Path) -> None:
    experiment = load_experiment(write(GOOD))
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump_yaml(experiment))
    assert load_experiment(resolved) == experiment
    assert "batch_clips: 64" in resolved.read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budgett": 5}, ["budgett", "unknown key"]),
        ({"query": {"batch": 5}}, ["query.batch", "unknown key"]),
        ({"campaigns__0__sampler": {"kind": "keep_all", "tau": 3}}, ["tau", "unknown key"]),
        ({"campaigns__1__source": {"kind": "vocoder"}}, ["campaigns.1.source", "'wavegan'"]),
        ({"campaigns__1__sampler": {"kind": "magic"}}, ["campaigns.1.sampler", "'keep_all'"]),
        ({"proxy": {"kind": "tape"}}, ["proxy", "'tape'", "'speaker_tree'"]),
        ({"campaigns__0__source": {}}, ["campaigns.0.source", "`kind` is missing"]),
        ({"campaigns__1__sampler": {"kind": "static_threshold"}}, ["tau", "missing"]),
        ({"budget": 0}, ["budget"]),
        ({"budget": "much"}, ["budget", "much"]),
        ({"marks": [100, 50]}, ["ascend"]),
        ({"marks": [50, 50]}, ["ascend"]),
        ({"marks": [50, 101]}, ["beyond the budget"]),
        ({"campaigns": []}, ["campaigns"]),
        ({"campaigns__1__name": "one"}, ["must differ"]),
        ({"campaigns__1__name": "../up"}, ["campaigns.1.name"]),
        ({"campaigns__1__iterations": 101}, ["101 iterations"]),
        ({"surrogate__holdout": 1.0}, ["surrogate.holdout"]),
        ({"surrogate__recipe": {"epoch": 3}}, ["surrogate.recipe.epoch"]),
        (
            {"surrogate__initial_layers": {"checkpoint": "x", "count": 2}},
            ["knowledge.first_layers", "grants 0"],
        ),
        (
            {
                "surrogate__initial_layers": {"checkpoint": "x", "count": 7},
                "knowledge": {"first_layers": 7},
            },
            ["surrogate", "count is 7", "6 layers (conv1, conv2", "head)"],
        ),
        (
            {"campaigns__1__sampler": {"kind": "dynamic_threshold", "alpha": 1}},
            ["campaign two", "assumption A3", "knowledge.class_counts", "static_threshold"],
        ),
        (
            {"campaigns__1__sampler": {"kind": "dynamic_threshold", "alpha": 0}},
            ["alpha", "greater than 0"],
        ),
        (
            {"campaigns__1__sampler": {"kind": "static_threshold", "tau": -1}},
            ["tau", "greater than"],
        ),
        (
            {"surrogate__answers": {"kind": "inversion"}},
            ["inversion", "knowledge.defence names none", "top1"],
        ),
        (
            {"surrogate__answers": {"kind": "inversion"}, "knowledge": {"defence": True}},
            ["inversion", "knowledge.defence names none"],
        ),
        (
            {"surrogate__answers": {"kind": "average"}},
            ["campaign one", "average", "proxy sends no copies", "source jitter"],
        ),
        (
            {
                "surrogate__answers": {"kind": "majority"},
                "campaigns__0__source": {"kind": "jitter"},
            },
            ["campaign two", "majority", "amplify sends no copies"],
        ),
        (
            {"surrogate__answers": {"kind": "top1"}, "surrogate__recipe": {"temperature": 2}},
            ["recipe.temperature is 2", "labels are hard"],
        ),
        ({"surrogate__answers": {"kind": "magic"}}, ["surrogate.answers", "'magic'", "'top1'"]),
        ({"knowledge": {"defence": {"kind": "magic"}}}, ["knowledge.defence", "'rounding'"]),
        ({"knowledge": {"defence": {"decimals": 2}}}, ["knowledge.defence", "`kind` is missing"]),
        ({"knowledge": {"defence": {"kind": "rounding"}}}, ["decimals", "missing"]),
        ({"knowledge": {"defence": "maybe"}}, ["knowledge.defence", "maybe"]),
        (
            {"budget": 40, "marks": [], "query": {"batch_clips": 40, "accounts": 41}},
            ["41 accounts cannot share a budget of 40", "query.accounts"],
        ),
        ({"budget": 63, "marks": []}, ["a budget of 63", "one batch of 64", "query.batch_clips"]),
    ],
)
def test_a_wrong_file_is_explained(write: Write, change: dict[str, Any], words: list[str]) -> None:
    path = write(changed(**change))
    with pytest.raises(ConfigError) as caught:
        load_experiment(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    for word in words:
        assert word in message


def test_class_counts_of_the_command_line_grant_a_dynamic_threshold(
    write: Write, tmp_path: Path
) -> None:
    path = write(changed(campaigns__1__sampler={"kind": "dynamic_threshold", "alpha": 1}))
    experiment = load_experiment(path, class_counts=tmp_path / "counts.json")
    assert experiment.knowledge.class_counts == str(tmp_path / "counts.json")
    assert experiment.knowledge.architecture  # the rest of the block is as it was


def test_paths_of_what_is_granted_may_name_the_environment(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARSHOT_VICTIM", str(tmp_path))
    (tmp_path / "class_counts.json").write_text('{"labels": ["ann", "bob"], "counts": [7, 5]}')
    grant = {"class_counts": "$EARSHOT_VICTIM/class_counts.json"}
    experiment = load_experiment(write(changed(knowledge=grant)))
    counts = experiment.granted_class_counts(["bob", "ann"])
    assert counts is not None
    assert counts.tolist() == [5, 7]
    assert "$EARSHOT_VICTIM" in dump_yaml(experiment)


@pytest.mark.parametrize("value", [None, ""])
def test_a_grant_of_a_victim_that_nobody_named_says_how_to_name_it(
    write: Write, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("EARSHOT_VICTIM", raising=False)
    if value is not None:
        monkeypatch.setenv("EARSHOT_VICTIM", value)
    grant = {"class_counts": "$EARSHOT_VICTIM/class_counts.json"}
    experiment = load_experiment(write(changed(knowledge=grant)))
    with pytest.raises(KnowledgeMissing, match=r"--victim-folder, or set EARSHOT_VICTIM"):
        experiment.granted_class_counts(["ann", "bob"])
    elsewhere = load_experiment(write(changed(knowledge={"class_counts": "$NOT_THERE/c.json"})))
    with pytest.raises(CorpusError, match="variable NOT_THERE is not set"):
        elsewhere.granted_class_counts(["ann", "bob"])


def test_granted_layers_may_be_used(write: Write) -> None:
    layers = {"checkpoint": "victim", "count": 2}
    data = changed(surrogate__initial_layers=layers, knowledge={"first_layers": 2})
    granted = load_experiment(write(data)).surrogate.initial_layers
    assert granted is not None
    assert granted.count == 2


def test_a_known_defence_is_granted_as_data(write: Write, tmp_path: Path) -> None:
    known = {"kind": "rounding", "decimals": 2}
    data = changed(knowledge={"defence": known}, surrogate__answers={"kind": "inversion"})
    experiment = load_experiment(write(data))
    assert experiment.knowledge.known_defence == KnownRounding(decimals=2)
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump_yaml(experiment))
    assert load_experiment(resolved) == experiment


@pytest.mark.parametrize("granted", [True, False])
def test_that_there_is_a_defence_may_be_all_that_is_known(write: Write, granted: bool) -> None:
    knowledge = load_experiment(write(changed(knowledge={"defence": granted}))).knowledge
    assert knowledge.defence is granted
    assert knowledge.known_defence is None
    assert knowledge.model_dump(mode="json")["defence"] is granted


def test_an_experiment_without_adaptions_is_named_as_before_there_were_any() -> None:
    golden = {
        "name": "golden",
        "proxy": {"kind": "speaker_tree", "root": "somewhere"},
        "budget": 100,
        "campaigns": [
            {
                "name": "one",
                "source": {"kind": "chain", "links": [{"kind": "amplify"}]},
                "sampler": {"kind": "static_threshold", "tau": 3},
            }
        ],
        "surrogate": {"network": {"kind": "knagg_cnn"}},
    }
    experiment = Experiment.model_validate(golden)
    digest = hashlib.sha256(experiment.model_dump_json().encode()).hexdigest()
    assert digest == "5718c31b0e56b21fc75465c771e5bc189896616e801197356cb586dbb07b75ca"
    victim = card(labels=["a", "b", "c"], clip_samples=256, checkpoint="victim")
    material = Material(experiment, victim)
    (campaign,) = experiment.campaigns
    source: Any = SimpleNamespace(material="m")
    identity = material.identity(campaign, source, material.sampler(campaign))
    named = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    assert named == "df7ffecd5ab69b213b81f23cb64f845ccd1abc8509d68aa48962948c1d7b673c"
    labels = np.arange(8) % 3
    answers = np.full((8, 3), 0.25, dtype=np.float32)
    answers[np.arange(8), labels] = 0.5
    rows = Rows(np.arange(8), labels, labels != 1, answers)
    inputs = MarkInputs(8, rows, identity, victim, experiment.surrogate, seed=3)
    assert inputs.sha256() == "45066e908541bd1431accef09320c9d92191c33aa3cde827e2bfe32f136c901d"


@pytest.mark.parametrize(
    ("bought", "marks"), [(0, ()), (30, (30,)), (50, (50,)), (70, (50, 70)), (100, (50, 100))]
)
def test_marks_follow_what_was_bought(bought: int, marks: tuple[int, ...]) -> None:
    assert Experiment.model_validate(GOOD).marks_up_to(bought) == marks


def test_no_marks_means_the_budget() -> None:
    assert Experiment.model_validate(changed(marks=[])).marks_up_to(100) == (100,)


def card(**changes: Any) -> ModelCard:
    facts = {
        "labels": ["ann", "bob"],
        "sample_rate_hz": 4000,
        "clip_samples": 4096,
        "label_mode": "soft",
        "checkpoint": "c",
        "max_batch_clips": 64,
    }
    return ModelCard.model_validate(facts | changes)


def test_a_profile_refuses_a_victim_of_another_size() -> None:
    Experiment.model_validate(changed(profile="desk")).demand_audio(card())
    Experiment.model_validate(GOOD).demand_audio(card(sample_rate_hz=16000))
    for change in ({"sample_rate_hz": 16000}, {"clip_samples": 16384}):
        with pytest.raises(ExperimentError, match="profile desk"):
            Experiment.model_validate(changed(profile="desk")).demand_audio(card(**change))


def test_class_counts_are_reached_by_grant_alone(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "class_counts.json"
    path.write_text(json.dumps({"labels": ["bob", "ann"], "counts": [7, 5]}))
    file = write(GOOD)
    assert load_experiment(file).granted_class_counts(["ann", "bob"]) is None
    granted = load_experiment(file, class_counts=path).granted_class_counts(["ann", "bob"])
    assert granted is not None
    assert granted.tolist() == [5, 7]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "{",
        "[]",
        '{"labels": ["ann"], "counts": [5]}',
        '{"labels": [], "counts": [1]}',
        '{"labels": ["ann", "bob"], "counts": [5, -1]}',
        '{"labels": ["ann", "bob"], "counts": [5, 99999999999999999999]}',
        '{"labels": ["ann", "bob"], "counts": [5, Infinity]}',
    ],
)
def test_class_counts_that_cannot_be_used_are_explained(
    write: Write, tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "class_counts.json"
    if text is not None:
        path.write_text(text)
    experiment = load_experiment(write(GOOD), class_counts=path)
    with pytest.raises(KnowledgeMissing, match=r"class_counts\.json in the folder"):
        experiment.granted_class_counts(["ann", "bob"])


def test_the_proxy_root_can_be_replaced(write: Write, tmp_path: Path) -> None:
    experiment = load_experiment(write(GOOD), proxy_root=tmp_path)
    assert experiment.proxy.model_dump()["root"] == str(tmp_path)
    voices = write(changed(proxy={"kind": "voices", "cast": "proxy"}))
    with pytest.raises(ExperimentError, match="has no folder"):
        load_experiment(voices, proxy_root=tmp_path)
