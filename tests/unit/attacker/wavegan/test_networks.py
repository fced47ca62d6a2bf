import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attacker.wavegan.networks import (
    Critic,
    Downsample,
    Generator,
    Upsample,
    count_stages,
    initialise,
    phase_shuffle,
)
from shared.seeding import torch_stream


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def small(module: nn.Module) -> nn.Module:
    initialise(module, torch_stream(3, "test"))
    return module.double()


@pytest.mark.parametrize(
    ("dim", "latent", "samples", "generator", "critic"),
    [
        (64, 100, 16384, 19_065_345, 17_427_969),
        (64, 10, 16384, 17_590_785, 17_427_969),
        (16, 100, 4096, 476_161, 271_489),
    ],
)
def test_parameter_counts(dim: int, latent: int, samples: int, generator: int, critic: int) -> None:
    with torch.device("meta"):
        assert parameters(Generator(dim, latent, samples)) == generator
        assert parameters(Critic(dim, samples)) == critic


def test_published_layer_shapes() -> None:
    with torch.device("meta"):
        generator, critic = Generator(64, 100, 16384), Critic(64, 16384)
    widths = [tuple(stage.weight.shape) for stage in generator.stages]
    assert widths == [
        (1024, 512, 25), (512, 256, 25), (256, 128, 25), (128, 64, 25), (64, 1, 25),
    ]  # fmt: skip
    widths = [tuple(stage.weight.shape) for stage in critic.stages]
    assert widths == [
        (64, 1, 25), (128, 64, 25), (256, 128, 25), (512, 256, 25), (1024, 512, 25),
    ]  # fmt: skip


def test_shapes_and_range_of_a_pass() -> None:
    generator, critic = Generator(2, 5, 1024), Critic(2, 1024)
    initialise(generator, torch_stream(0, "g"))
    wave = generator(torch.rand(3, 5) * 2 - 1)
    assert wave.shape == (3, 1024)
    assert wave.abs().max() <= 1
    assert critic(wave, [1, -2]).shape == (3,)


@pytest.mark.parametrize("samples", [0, -4096, 16, 100, 4000, 8192, 16000, 16383])
def test_other_lengths_are_refused(samples: int) -> None:
    with pytest.raises(ValueError, match="choose 4096"):
        count_stages(samples)


@pytest.mark.parametrize(("samples", "stages"), [(64, 1), (4096, 4), (16384, 5), (65536, 6)])
def test_stages_of_valid_lengths(samples: int, stages: int) -> None:
    assert count_stages(samples) == stages


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 3), (4, 2)])
def test_downsample_is_the_strided_convolution(inputs: int, outputs: int) -> None:
    layer = Downsample(inputs, outputs)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 64, inputs)
    expected = F.conv1d(x.transpose(1, 2), layer.weight, layer.bias, stride=4, padding=11)
    torch.testing.assert_close(layer(x), expected.transpose(1, 2), rtol=1e-4, atol=1e-4)
    plain = F.conv1d(x.transpose(1, 2), layer.weight, stride=4, padding=11)
    torch.testing.assert_close(
        layer(x, with_bias=False), plain.transpose(1, 2), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 1), (2, 4)])
def test_upsample_is_the_transposed_convolution(inputs: int, outputs: int) -> None:
    layer = Upsample(inputs, outputs)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 16, inputs)
    expected = F.conv_transpose1d(
        x.transpose(1, 2), layer.weight, layer.bias, stride=4, padding=11, output_padding=1
    )
    torch.testing.assert_close(layer(x), expected.transpose(1, 2), rtol=1e-4, atol=1e-4)


def test_generator_projection_is_time_major() -> None:
    generator = Generator(1, 1, 64)
    nn.init.zeros_(generator.project.weight)
    nn.init.ones_(generator.stages[0].weight)
    with torch.no_grad():
        generator.project.bias.zero_()
        generator.project.bias[8] = 0.01  # step 8 of 16, whatever the number of channels
        wave = generator(torch.zeros(1, 1))[0]
    touched = wave.nonzero().flatten()
    assert touched.min() == 8 * 4 - 11
    assert touched.max() == 8 * 4 - 11 + 24


@pytest.mark.parametrize("shift", [-2, -1, 0, 1, 2])
def test_phase_shuffle_moves_all_clips_alike_and_reflects(shift: int) -> None:
    x = torch.arange(24.0).reshape(2, 6, 2)
    padded = F.pad(x.transpose(1, 2), (max(shift, 0), max(-shift, 0)), mode="reflect")
    start = max(-shift, 0)
    expected = padded[:, :, start : start + 6].transpose(1, 2)
    assert torch.equal(phase_shuffle(x, shift), expected)


def test_no_phase_shuffle_after_the_last_convolution() -> None:
    assert Critic(2, 16384).shuffles == 4
    assert Critic(2, 4096).shuffles == 3


def test_phase_shuffle_acts_in_the_critic() -> None:
    critic = small(Critic(2, 256))
    wave = torch.randn(2, 256, dtype=torch.double)
    assert not torch.allclose(critic(wave, [2]), critic(wave, [0]))
    assert torch.equal(critic(wave, [0]), critic(wave))


def test_tangent_is_the_directional_derivative() -> None:
    critic = small(Critic(2, 256))
    for stage in critic.stages:
        nn.init.normal_(stage.bias)
    wave, along = torch.randn(2, 3, 256, dtype=torch.double)
    scores, activations = critic.trace(wave, [1])
    step = 1e-7
    numeric = (critic(wave + step * along, [1]) - scores) / step
    torch.testing.assert_close(
        critic.tangent(along, activations, [1]), numeric, rtol=1e-4, atol=1e-5
    )


def test_glorot_uniform_weights_and_zero_biases() -> None:
    critic = Critic(16, 4096)
    initialise(critic, torch_stream(1, "w"))
    weight = critic.stages[1].weight.detach()
    bound = (6 / (25 * (16 + 32))) ** 0.5
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert all(stage.bias.count_nonzero() == 0 for stage in critic.stages)
    again = Critic(16, 4096)
    initialise(again, torch_stream(1, "w"))
    assert torch.equal(again.stages[1].weight, weight)


def test_a_generator_that_holds_its_kernels_makes_the_same_clips_and_forgets_later_weights() -> (
    None
):
    generator = Generator(2, 5, 1024)
    initialise(generator, torch_stream(0, "g"))
    z = torch.rand(3, 5) * 2 - 1
    with_graph = generator(z)
    with torch.no_grad():
        plain = generator(z)
        generator.hold()
        assert torch.equal(generator(z), plain)
        assert torch.equal(with_graph, plain)
        generator.stages[0].weight.zero_()
        assert torch.equal(generator(z), plain)
    assert set(generator.state_dict()) == set(Generator(2, 5, 1024).state_dict())
