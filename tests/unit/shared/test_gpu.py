import numpy as np
import pytest
import torch

from shared.networks import KnaggCNNSpec
from shared.training import ArrayClips, Recipe, fit, predict

pytestmark = pytest.mark.gpu


def test_training_and_answers_on_cuda_are_those_of_the_cpu() -> None:
    rng = np.random.default_rng(0)
    clips = ArrayClips(rng.normal(0, 0.1, (32, 512)).astype(np.float32), np.arange(32) % 4)
    answers = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        model = KnaggCNNSpec(filters=4, embedding=8).build(4)
        recipe = Recipe(epochs=2, batch_size=8, precision="float32", compile="never")
        fit(model, clips, clips, recipe, seed=0, device=device)
        answers.append(predict(model, clips, device=device))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-2)


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"compile": "always"}])
def test_faster_steps_learn_as_well(options: dict[str, str]) -> None:
    """Tones of four pitches, changed on the device in every way there is."""
    labels = np.arange(66) % 4
    waves = 0.3 * np.sin(np.arange(512)[None] * (0.3 + 0.5 * labels)[:, None])
    clips = ArrayClips(waves.astype(np.float32), labels)
    torch.manual_seed(0)
    model = KnaggCNNSpec(filters=8, embedding=8).build(4)
    recipe = Recipe(
        epochs=8, batch_size=8, learning_rate=5e-3, max_shift_samples=9, max_gain=2, max_speed=1.05,
        weight_average=0.8,
    )  # fmt: skip
    result = fit(model, clips, clips, recipe.model_copy(update=options), seed=0, device="cuda")
    assert result.best.validation_accuracy >= 0.9


def test_clips_made_on_the_device_beside_the_training_are_the_same_clips() -> None:
    """The thread that makes them has a stream of its own: nothing is read before it is there."""

    class Made:
        def __init__(self) -> None:
            self.table = torch.randn(64, 512, device="cuda")
            self.seen: dict[int, torch.Tensor] = {}

        def __len__(self) -> int:
            return 64

        def batch(
            self, indices: np.ndarray, rng: np.random.Generator | None
        ) -> tuple[torch.Tensor, torch.Tensor]:
            rows = torch.from_numpy(indices).to("cuda")
            clips = (self.table[rows] * 0.1).tanh().cpu()
            for index, clip in zip(indices.tolist(), clips, strict=True):
                assert torch.equal(self.seen.setdefault(index, clip), clip)
            return clips, torch.from_numpy(indices % 4)

        def hard_labels(self) -> np.ndarray:
            return np.arange(64) % 4

    source = Made()
    fit(KnaggCNNSpec(filters=4, embedding=8).build(4), source, source,
        Recipe(epochs=3, batch_size=8), seed=0, device="cuda")  # fmt: skip
    wanted = (source.table * 0.1).tanh().cpu()
    assert all(torch.equal(source.seen[index], wanted[index]) for index in range(64))
