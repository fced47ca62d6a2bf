"""One layer of a KnaggCNN: what each of many filters answers to a signal of its own."""

import torch
import torch.nn.functional as F
from torch import nn

from shared.networks import KnaggCNN
from shared.networks.knagg_cnn import normalise_rms


class Probe:
    """The answers of one layer's filters, differentiable to the signals.

    A filter of a convolution answers with a channel over time, one of a linear layer with its unit.
    Signal b is heard by filter b alone, and in evaluation mode no signal knows of another one, so
    a layer's filters can be followed as one batch. Of the layer itself only the wanted channels
    are computed; batch norm is folded into the convolutions, and the pools come before the ReLUs,
    with which they commute: the same numbers in two thirds of the time.
    """

    def __init__(self, network: KnaggCNN, layer: str, device: torch.device | str = "cpu") -> None:
        self._normalise = network.normalise == "rms"
        self.is_linear = isinstance(getattr(network, layer), nn.Linear)
        blocks = [child for child in network.children() if isinstance(child, nn.Sequential)]
        if not self.is_linear:
            blocks = blocks[: network.LAYERS.index(layer) + 1]
        folded = [_fold(block) for block in blocks]
        if self.is_linear:
            self._trunk = nn.Sequential(*folded)
            self._weight, self._bias = _units(network, layer)
        else:
            pads, conv = _split(folded.pop())
            self._trunk = nn.Sequential(*folded, *pads)
            self._padding = int(conv.padding[1])
            self._weight, self._bias = conv.weight[:, :, 0], _bias(conv)
        self.filters = len(self._weight)
        self.device = torch.device(device)
        self._trunk.to(device)
        self._weight, self._bias = self._weight.to(device), self._bias.to(device)

    def answer(self, signals: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
        """Return what filter ``filters[b]`` answers to ``signals`` (B, T), before any ReLU.

        (B, time) for a convolution, (B, 1) for a unit of a linear layer.
        """
        if self._normalise:
            signals = normalise_rms(signals)
        x = self._trunk(signals[:, None, None])[:, :, 0]
        weight, bias = self._weight[filters], self._bias[filters, None]
        if self.is_linear:
            units: torch.Tensor = (x.amax(dim=2) * weight).sum(dim=1, keepdim=True) + bias
            return units
        x = F.pad(x, (self._padding, self._padding))
        if x.shape[1] == 1:
            return F.conv1d(x.transpose(0, 1), weight, groups=len(weight))[0] + bias
        width = weight.shape[2]
        time = x.shape[2] - width + 1
        taps = [
            torch.bmm(weight[:, None, :, tap], x[:, :, tap : tap + time]) for tap in range(width)
        ]
        return torch.stack(taps).sum(dim=0)[:, 0] + bias

    def activation(self, signals: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
        """Return the mean activations (B,): after the ReLU and before the pool, over time."""
        return self.activate(self.answer(signals, filters))

    def activate(self, answer: torch.Tensor) -> torch.Tensor:
        """Return the mean activations (B,) of what :meth:`answer` returned."""
        return (answer if self.is_linear else F.relu(answer)).mean(dim=1)


def _fold(block: nn.Sequential) -> nn.Sequential:
    """Return pad, convolution with its batch norm, pool and ReLU of a block, in this order."""
    pads, conv = _split(block)
    norms = [part for part in block if isinstance(part, nn.BatchNorm2d)]
    pools = [part for part in block if isinstance(part, nn.MaxPool2d)]
    for norm in norms:
        conv = nn.utils.fuse_conv_bn_eval(conv, norm)
    return nn.Sequential(*pads, conv, *pools, nn.ReLU())


def _split(block: nn.Sequential) -> tuple[list[nn.Module], nn.Conv2d]:
    """Return what comes before the convolution, and the convolution."""
    parts = list(block)
    place = next(i for i, part in enumerate(parts) if isinstance(part, nn.Conv2d))
    conv = parts[place]
    if not isinstance(conv, nn.Conv2d):
        raise TypeError("a block of this network has no convolution. Follow another layer.")
    return parts[:place], conv


def _units(network: KnaggCNN, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight (N, 4F) and bias (N,) of a linear layer's units over the pooled features."""
    embedding, head = network.embedding, network.head
    if layer == "embedding":
        return embedding.weight.detach(), embedding.bias.detach()
    weight = head.weight @ embedding.weight
    return weight.detach(), (head.weight @ embedding.bias + head.bias).detach()


def _bias(conv: nn.Conv2d) -> torch.Tensor:
    if conv.bias is None:
        return torch.zeros(conv.out_channels)
    return conv.bias
