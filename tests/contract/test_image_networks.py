"""Both sides classify speech: a network of images is refused wherever one could be named."""

from pathlib import Path

import pytest

from attacker.experiment import SurrogateSpec
from attacker.surrogate import load_surrogate
from shared import checkpoint
from shared.config import ConfigError, validate
from shared.networks import KnaggCNNSpec, WideResNetSpec
from victim_service.model import Predictor
from victim_service.train import VictimRecipe

IMAGES = {"kind": "wide_resnet", "depth": 10, "width": 1}


@pytest.mark.parametrize("model", [SurrogateSpec, VictimRecipe])
def test_a_file_that_names_one_is_refused(
    model: type[SurrogateSpec] | type[VictimRecipe],
) -> None:
    with pytest.raises(ConfigError, match=r"network: a wide_resnet classifies images.*knagg_cnn"):
        validate({"network": IMAGES}, model, origin="x.yaml")


def test_a_network_of_speech_is_read_from_data_or_an_instance() -> None:
    for network in ({"filters": 4}, {"kind": "knagg_cnn", "filters": 4}, KnaggCNNSpec(filters=4)):
        assert SurrogateSpec.model_validate({"network": network}).network.filters == 4
    for wrong in ({"kind": "no_such"}, {"kind": ["wide_resnet"]}, "wide_resnet", None):
        with pytest.raises(ConfigError, match="network"):
            validate({"network": wrong}, SurrogateSpec, origin="x.yaml")


@pytest.mark.parametrize("kind", ["image_model", "victim"])
def test_neither_side_loads_a_checkpoint_of_one(tmp_path: Path, kind: str) -> None:
    card = {"kind": kind, "network": IMAGES, "labels": ["a", "b"]}
    card |= {"sample_rate_hz": 4000, "clip_samples": 4096}
    checkpoint.save(tmp_path, WideResNetSpec(depth=10, width=1).build(2).state_dict(), card)
    with pytest.raises(checkpoint.CheckpointError, match="victim"):
        Predictor(tmp_path, "cpu")
    with pytest.raises(checkpoint.CheckpointError, match="not a surrogate"):
        load_surrogate(tmp_path)
