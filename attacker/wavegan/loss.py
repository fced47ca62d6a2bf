"""The Wasserstein loss with gradient penalty, without differentiating twice.

Reference: Gulrajani et al., "Improved Training of Wasserstein GANs" (2017), equation 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attacker.wavegan.networks import Critic

_EPSILON = 1e-12


@dataclass(frozen=True)
class CriticLoss:
    """One critic loss: ``total`` carries the gradient, the others are values for the curves."""

    total: Tensor
    distance: Tensor
    penalty: Tensor

    @property
    def value(self) -> Tensor:
        """The loss as published: -distance + penalty."""
        return self.penalty - self.distance


def critic_loss(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    mix: Tensor,
    shifts: Sequence[Sequence[int]],
    weight: float,
) -> CriticLoss:
    """Return mean D(fake) - mean D(real) + weight * mean (|grad D(mixed)| - 1)^2.

    Args:
        critic: the critic.
        real: (B, T) windows of the corpus.
        fake: (B, T) generated, detached.
        mix: (B, 1) uniform in [0, 1], one coefficient per example.
        shifts: phase shifts of the real, the fake and the mixed call.
        weight: the published lambda.
    """
    distance = critic(real, shifts[0]).mean() - critic(fake, shifts[1]).mean()
    mixed = real + mix * (fake - real)
    penalty, direction = penalty_and_direction(critic, mixed, shifts[2], weight)
    return CriticLoss(direction - distance, distance.detach(), penalty)


def penalty_and_direction(
    critic: Critic, mixed: Tensor, shifts: Sequence[int], weight: float
) -> tuple[Tensor, Tensor]:
    """Return the penalty's value and a scalar with the penalty's gradient in the parameters.

    With g = grad D(x) and P = weight * mean (|g| - 1)^2, dP = v . dg where
    v = 2 * weight / B * (|g| - 1) * g / |g|, and v . g is the critic's derivative along v. The
    critic is piecewise linear, so that derivative is one more forward pass: cheaper than double
    backward, which also walks the vanishing second derivatives of every activation.
    """
    mixed = mixed.detach().requires_grad_(True)
    scores, activations = critic.trace(mixed, shifts)
    (gradient,) = torch.autograd.grad(scores.sum(), mixed)
    norm = gradient.norm(dim=1, keepdim=True)
    penalty = weight * (norm - 1).square().mean()
    along = 2 * weight / len(mixed) * (norm - 1) / (norm + _EPSILON) * gradient
    held = [activation.detach() for activation in activations]
    return penalty, critic.tangent(along, held, shifts).sum()
