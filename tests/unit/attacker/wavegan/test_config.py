from pathlib import Path

import pytest
from pydantic import ValidationError

import attacker.wavegan
from attacker.wavegan.config import GanConfig, TrainGanFile
from shared.config import ConfigError, load_yaml

CONFIGS = sorted((Path(attacker.wavegan.__file__).parent / "configs").glob("*.yaml"))


def test_defaults_are_the_published_hyper_parameters() -> None:
    config = GanConfig()
    assert (config.dim, config.latent, config.clip_samples) == (64, 100, 16384)
    assert (config.batch_size, config.critic_steps, config.penalty_weight) == (64, 5, 10)
    assert (config.learning_rate, config.betas, config.phase_shuffle) == (1e-4, (0.5, 0.9), 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [("clip_samples", 16000), ("dim", 0), ("learning_rate", 0), ("normalise", "rms"), ("lr", 1)],
)
def test_wrong_values_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        GanConfig.model_validate({field: value})


def test_config_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        GanConfig().dim = 3


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_are_valid(path: Path) -> None:
    plan = load_yaml(path, TrainGanFile)
    assert plan.gan.critic_steps == 5


def test_desk_config_is_the_desk_size() -> None:
    (path,) = [path for path in CONFIGS if path.stem == "desk"]
    plan = load_yaml(path, TrainGanFile)
    assert (plan.gan.dim, plan.gan.clip_samples, plan.sample_rate_hz) == (16, 4096, 4000)
    assert plan.corpus.kind == "voices"
    assert plan.corpus.cast == "proxy"


def test_unknown_corpus_kind_names_the_valid_ones(tmp_path: Path) -> None:
    path = tmp_path / "gan.yaml"
    path.write_text("corpus: {kind: radio}\ngan: {}\n")
    with pytest.raises(ConfigError, match=r"corpus: unknown kind 'radio'.*voices"):
        load_yaml(path, TrainGanFile)


def test_the_weighted_config_differs_from_the_plain_one_in_its_weights_alone() -> None:
    plain, weighted = (
        load_yaml(path, TrainGanFile)
        for name in ("wakewords", "wakewords-entropy")
        for path in CONFIGS
        if path.stem == name
    )
    assert weighted.answers is not None
    assert weighted.answers.by == "entropy"
    assert weighted.model_copy(update={"answers": None}) == plain
