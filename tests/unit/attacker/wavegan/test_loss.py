import pytest
import torch
from torch import Tensor, nn

from attacker.wavegan.loss import critic_loss, penalty_and_direction
from attacker.wavegan.networks import Critic, initialise
from shared.seeding import torch_stream

SHIFTS = [[1], [-2], [2]]


@pytest.fixture
def critic() -> Critic:
    critic = Critic(3, 256)
    initialise(critic, torch_stream(0, "critic"))
    for stage in critic.stages:
        nn.init.normal_(stage.bias, std=0.1, generator=torch_stream(1, "bias"))
    return critic.double()


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.double, generator=torch_stream(2, *shape))


def gradients(critic: Critic, loss: Tensor) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(critic.parameters()), allow_unused=True)
    return [
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(critic.parameters(), found, strict=True)
    ]


def published_loss(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """The textbook form: autograd differentiates the gradient."""
    mixed = (real + mix * (fake - real)).requires_grad_(True)
    scores = critic(mixed, SHIFTS[2])
    (gradient,) = torch.autograd.grad(scores.sum(), mixed, create_graph=True)
    penalty = 10 * (gradient.norm(dim=1) - 1).square().mean()
    return critic(fake, SHIFTS[1]).mean() - critic(real, SHIFTS[0]).mean() + penalty


def test_gradients_equal_those_of_double_backward(critic: Critic) -> None:
    real, fake = draw(4, 256), 0.5 * draw(4, 256).flip(0)
    mix = torch.rand(4, 1, dtype=torch.double, generator=torch_stream(3, "mix"))
    expected = published_loss(critic, real, fake, mix)
    loss = critic_loss(critic, real, fake, mix, SHIFTS, 10.0)
    torch.testing.assert_close(loss.value, expected)
    pairs = zip(gradients(critic, loss.total), gradients(critic, expected), strict=True)
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-9)


def test_penalty_value_carries_no_graph(critic: Critic) -> None:
    value, _ = penalty_and_direction(critic, draw(2, 256), SHIFTS[2], 10.0)
    assert not value.requires_grad


def test_penalty_of_a_flat_critic_is_the_weight(critic: Critic) -> None:
    nn.init.zeros_(critic.head.weight)
    value, direction = penalty_and_direction(critic, draw(2, 256), SHIFTS[2], 10.0)
    assert value.item() == pytest.approx(10.0)
    assert torch.isfinite(direction)
    assert all(torch.isfinite(g).all() for g in gradients(critic, direction))


def test_one_coefficient_per_example(critic: Critic) -> None:
    real, fake = draw(2, 256), draw(2, 256).flip(0)
    mix = torch.tensor([[0.0], [1.0]], dtype=torch.double)
    loss = critic_loss(critic, real, fake, mix, SHIFTS, 10.0)
    ends = torch.stack([real[0], fake[1]])
    expected, _ = penalty_and_direction(critic, ends, SHIFTS[2], 10.0)
    torch.testing.assert_close(loss.penalty, expected)


def test_training_on_the_loss_separates_real_from_fake(critic: Critic) -> None:
    critic = critic.float()
    real, fake = draw(8, 256).float(), 0.1 * draw(8, 256).float()
    mix = torch.full((8, 1), 0.5)
    adam = torch.optim.Adam(critic.parameters(), 1e-2)
    before = critic_loss(critic, real, fake, mix, SHIFTS, 10.0)
    for _ in range(20):
        adam.zero_grad()
        torch.autograd.backward(critic_loss(critic, real, fake, mix, SHIFTS, 10.0).total)
        adam.step()
    after = critic_loss(critic, real, fake, mix, SHIFTS, 10.0)
    assert after.value < before.value
    assert after.distance > before.distance
