"""The probe against the network itself: it takes another way to the same numbers."""

from typing import Literal

import pytest
import torch
from torch import nn

from attacker.lab.filters.probe import Probe
from shared.networks import KnaggCNN
from tests.support.filters import random_network

CLIPS = 5
FILTERS = torch.tensor([0, 3, 1, 3, 2])
Normalise = Literal["none", "rms"]


def clips(samples: int = 400) -> torch.Tensor:
    return torch.rand((CLIPS, samples), generator=torch.Generator().manual_seed(1)) * 2 - 1


def by_the_network(network: KnaggCNN, layer: str, signals: torch.Tensor) -> torch.Tensor:
    """Return what the whole network's own forward pass shows of every filter: (B, N)."""
    part = getattr(network, layer)
    if isinstance(part, nn.Sequential):
        part = next(child for child in part if isinstance(child, nn.ReLU))
    seen: list[torch.Tensor] = []
    hook = part.register_forward_hook(lambda _m, _i, output: seen.append(output))
    network(signals)
    hook.remove()
    return seen[0].mean(dim=(2, 3)) if seen[0].dim() == 4 else seen[0]


@pytest.mark.parametrize("normalise", ["none", "rms"])
@pytest.mark.parametrize("layer", KnaggCNN.LAYERS)
def test_activations_are_those_of_the_network(layer: str, normalise: Normalise) -> None:
    network = random_network(normalise=normalise)
    every = by_the_network(network, layer, clips())
    found = Probe(network, layer).activation(clips(), FILTERS)
    assert torch.allclose(found, every[torch.arange(CLIPS), FILTERS], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", KnaggCNN.LAYERS)
def test_every_filter_of_a_layer_is_there(layer: str) -> None:
    network = random_network()
    assert Probe(network, layer).filters == by_the_network(network, layer, clips()).shape[1]


@pytest.mark.parametrize("layer", KnaggCNN.LAYERS)
def test_no_signal_of_a_batch_knows_of_another(layer: str) -> None:
    probe = Probe(random_network(normalise="rms"), layer)
    signals = clips().requires_grad_()
    whole = probe.activation(signals, FILTERS)
    (gradient,) = torch.autograd.grad(whole[2], signals)
    assert gradient[2].abs().sum() > 0
    assert gradient[[0, 1, 3, 4]].abs().sum() == 0
    alone = probe.activation(signals[2:3], FILTERS[2:3])
    assert torch.allclose(alone, whole[2:3], rtol=1e-5)


def test_the_network_is_left_as_it_was() -> None:
    network = random_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for layer in network.LAYERS:
        Probe(network, layer).activation(clips(), FILTERS)
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_convolution_answers_over_time_and_a_unit_once() -> None:
    network = random_network()
    assert Probe(network, "conv1").answer(clips(), FILTERS).shape == (CLIPS, 400)
    assert Probe(network, "conv4").answer(clips(), FILTERS).shape == (CLIPS, 25)
    assert Probe(network, "head").answer(clips(), FILTERS).shape == (CLIPS, 1)
