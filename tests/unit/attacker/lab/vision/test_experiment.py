"""The file of the control: the one that ships, and each way to get one wrong."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

import attacker
from attacker.errors import ExperimentError
from attacker.lab.vision.experiment import VisionExperiment, load_vision
from shared.config import ConfigError
from tests.unit.attacker.lab.vision.conftest import SMALL

SHIPPED = Path(attacker.__file__).parent / "experiments/paper/figure1-vision.yaml"


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "vision.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return path


def test_what_ships_is_the_published_control() -> None:
    file = load_vision(SHIPPED)
    assert (file.network.depth, file.network.width, file.network.dropout) == (28, 10, 0.3)
    recipe = file.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.momentum) == (200, 128, 0.9)
    assert (recipe.weight_decay, recipe.learning_rate) == (5e-4, 0.1)
    assert (recipe.drop_after_epochs, recipe.drop_factor) == ((60, 120), 0.2)
    assert file.image_side_px == 32
    assert set(file.sources) == {"victim", "proxy"}
    assert len(file.seeds) >= 3
    text = SHIPPED.read_text()
    assert "Lost in the paper, and so our own choice" in text
    assert "earshot-attacker vision attacker/experiments/paper/figure1-vision.yaml" in text


def test_the_desk_changes_sizes_and_nothing_that_is_compared() -> None:
    paper, desk = load_vision(SHIPPED), load_vision(SHIPPED, "desk")
    assert desk.network.depth < paper.network.depth
    assert desk.recipe.epochs < paper.recipe.epochs
    assert desk.recipe.weight_decay == paper.recipe.weight_decay  # not named, so kept
    assert desk.cells() == paper.cells()
    assert desk.profiles == paper.profiles == {}


def test_cells_are_every_source_layer_and_seed_with_nothing_given_once() -> None:
    cells = load_vision(SHIPPED).cells()
    assert len(cells) == len({cell.name for cell in cells}) == 27
    assert Counter(cell.source for cell in cells) == {"none": 3, "victim": 12, "proxy": 12}
    assert all((cell.first_layers == 0) == (cell.source == "none") for cell in cells)
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"first_layers": [0, 6]}, r"no k of 6.*5 layers \(conv1, .*head\)\. Name counts from 0"),
        ({"first_layers": [0, -1]}, "no k of -1"),
        ({"first_layers": [1, 2]}, "must begin with 0"),
        ({"first_layers": [0, 2, 1]}, "ascend"),
        ({"first_layers": [0]}, "first_layers"),
        ({"sources": ["imagenet"]}, "sources.*'victim' or 'proxy'"),
        ({"sources": ["proxy", "proxy"]}, "must not repeat"),
        ({"sources": []}, "sources"),
        ({"seeds": [1, 1]}, "must not repeat"),
        ({"seeds": list(range(11))}, "seeds"),
        ({"network": {"kind": "knagg_cnn"}}, "network.kind.*wide_resnet"),
        ({"network": {"depth": 12}}, "network.depth: .*6n"),
        ({"recipe": {"epochs": 3}}, "recipe: drop_after_epochs.*within the 3 epochs"),
        ({"test_share": 1.0}, "test_share"),
        ({"augment": True}, "augment: unknown key"),
        ({"profiles": {"paper": {}}}, "profiles.paper"),
        ({"profiles": {"tiny": {"seeds": [0, 0]}}}, "profile tiny: .*must not repeat"),
        ({"profiles": {"tiny": {"network": {"size": 1}}}}, "profile tiny: network.size"),
        ({"profiles": {"tiny": None}}, "profiles.tiny"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, changes: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_vision(write(tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_profiles_are_merged_key_by_key_and_chosen_by_name(tmp_path: Path) -> None:
    change = {"recipe": {"batch_size": 4}, "first_layers": [0, 5]}
    path = write(tmp_path, profiles={"tiny": change})
    tiny = load_vision(path, "tiny")
    assert tiny.recipe.batch_size == 4
    assert tiny.recipe.epochs == SMALL["recipe"]["epochs"]
    assert tiny.first_layers == (0, 5)
    assert load_vision(path, "paper").recipe.batch_size == SMALL["recipe"]["batch_size"]
    with pytest.raises(ExperimentError, match=r"no profile 'desk'\. Name one of paper, tiny"):
        load_vision(path, "desk")


def test_the_head_of_other_classes_is_refused_where_it_is_asked_for() -> None:
    whole = VisionExperiment.model_validate({**SMALL, "first_layers": [0, 5]})
    whole.demand_heads_that_fit(3, 3)
    with pytest.raises(ExperimentError, match="tells 4 classes apart, and the victim has 3"):
        whole.demand_heads_that_fit(3, 4)
    whole.model_copy(update={"sources": ("victim",)}).demand_heads_that_fit(3, 4)
    VisionExperiment.model_validate(SMALL).demand_heads_that_fit(3, 4)
