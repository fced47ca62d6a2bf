from pathlib import Path

import pytest

from attacker.errors import ExperimentError
from attacker.lab.filters.model import choose_layers, demand_one_rate, load_model
from shared import checkpoint
from shared.checkpoint import CheckpointError
from shared.networks import KnaggCNN
from tests.support.filters import random_network, write_model
from tests.support.victims import make_victim

GENERATOR = Path(__file__).parents[5] / "attacker/wavegan/generators/desk"


def test_a_victim_is_read_from_its_folder(tmp_path: Path) -> None:
    model = load_model(make_victim(tmp_path / "mine"))
    assert (model.name, model.kind, model.sample_rate_hz) == ("mine", "victim", 4000)
    assert len(model.labels) == model.network.head.out_features
    assert not model.network.training
    assert not any(weight.requires_grad for weight in model.network.parameters())


@pytest.mark.parametrize("kind", ["surrogate", "source_task"])
def test_the_kind_does_not_matter(tmp_path: Path, kind: str) -> None:
    model = write_model(tmp_path, random_network(normalise="rms"), kind=kind)
    assert model.kind == kind
    assert model.network.normalise == "rms"


def test_a_generator_is_refused_with_what_it_lacks() -> None:
    with pytest.raises(CheckpointError, match=r"lacks network, labels.*Name the folder"):
        load_model(GENERATOR)


def test_a_network_of_another_kind_or_other_tensors_is_refused(tmp_path: Path) -> None:
    network = random_network()
    write_model(tmp_path, network)
    card = {k: v for k, v in checkpoint.load_card(tmp_path).items() if "sha256" not in k}
    checkpoint.save(tmp_path, network.state_dict(), {**card, "network": {"kind": "lstm"}})
    with pytest.raises(CheckpointError, match="does not know the card's network"):
        load_model(tmp_path)
    checkpoint.save(tmp_path, network.state_dict(), {**card, "labels": ["only one"]})
    with pytest.raises(CheckpointError, match="does not fit the tensors"):
        load_model(tmp_path)


def test_layers_are_chosen_by_name_in_the_order_of_the_network() -> None:
    assert choose_layers("conv4, conv1") == ("conv1", "conv4")
    assert choose_layers("all") == KnaggCNN.LAYERS
    assert choose_layers("head,head") == ("head",)


@pytest.mark.parametrize("text", ["conv9", "conv1,conv9", "all,conv1", "", " , "])
def test_an_unknown_layer_is_one_line_that_names_the_layers(text: str) -> None:
    with pytest.raises(ExperimentError, match="conv1, conv2, conv3, conv4, embedding, head") as why:
        choose_layers(text)
    assert "\n" not in str(why.value)


def test_models_of_two_sample_rates_are_refused_with_the_reason(tmp_path: Path) -> None:
    a = write_model(tmp_path / "a", random_network())
    b = write_model(tmp_path / "b", random_network(), rate_hz=16_000)
    with pytest.raises(ExperimentError, match=r"4000 Hz.*16000 Hz.*one sample rate"):
        demand_one_rate(a, b)
    demand_one_rate(a, a)
