"""A moving average of a network's weights, which is steadier than the weights of any one step."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

Weights = dict[str, torch.Tensor]


class WeightAverage:
    """Averages everything in a model's state that is not a whole number, over its steps.

    After step t (from 0) the average a becomes d a + (1 - d) w, d = min(decay, (1 + t) / (10 + t)):
    the first steps, whose weights are worth little, are soon forgotten. Statistics of batch norms
    are averaged as well; counters are taken as they are.

    Reference: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992);
    the warm-up is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = copy_weights(model.state_dict())

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights that ``model`` has after ``step`` (from 0)."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        mine, others = [], []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                mine.append(self.weights[name])
                others.append(value)
            else:
                self.weights[name].copy_(value)
        torch._foreach_lerp_(mine, others, share)

    @contextmanager
    def lent_to(self, model: nn.Module) -> Iterator[None]:
        """Let ``model`` have the average within the block, and its own weights after it."""
        own = copy_weights(model.state_dict())
        model.load_state_dict(self.weights)
        try:
            yield
        finally:
            model.load_state_dict(own)


def copy_weights(weights: Mapping[str, torch.Tensor]) -> Weights:
    """Return copies of tensors, on their own devices."""
    return {name: value.detach().clone() for name, value in weights.items()}
