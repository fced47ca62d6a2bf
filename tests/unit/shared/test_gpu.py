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
        fit(model, clips, clips, Recipe(epochs=2, batch_size=8), seed=0, device=device)
        answers.append(predict(model, clips, device=device))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-2)
