"""WideResNet: the image classifier of the vision control, the only network here that hears nothing.

A 3x3 convolution to 16 channels, three groups of n wide residual blocks (16w, 32w and 64w channels,
the last two groups at half the resolution of the one before) and a head of batch norm, ReLU,
global mean and a linear layer. Depth counts the 6n + 4 convolutions along the path. WRN-28-10 has
36,479,194 parameters at ten classes.

Reference: Zagoruyko and Komodakis, "Wide Residual Networks", section 2 and table 1; as used by
"Generative Extraction of Audio Classifiers for Speaker Identification", appendix A.3.1.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import nn
from torch.nn.functional import relu

from shared.config import Frozen
from shared.networks.base import LayeredNetwork

_STEM_CHANNELS = 16
_GROUPS = 3


class WideResNetSpec(Frozen):
    """Sizes of a WideResNet; ``build`` makes one for K classes of images."""

    kind: Literal["wide_resnet"] = "wide_resnet"
    depth: int = Field(default=28, ge=10, le=1000)
    """6n + 4 for n blocks in each of the three groups."""
    width: int = Field(default=10, ge=1)
    """w: how much wider the groups are than a plain residual network's 16, 32 and 64 channels."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Probability of a zero between the two convolutions of a block."""

    @field_validator("depth")
    @classmethod
    def _whole_blocks(cls, depth: int) -> int:
        if (depth - 4) % (2 * _GROUPS):
            raise ValueError("a WideResNet's depth is 6n + 4, such as 10, 16, 22, 28 or 40")
        return depth

    def build(self, n_classes: int) -> "WideResNet":
        """Return an untrained network for ``n_classes`` classes."""
        return WideResNet(self, n_classes)


class WideResNet(LayeredNetwork):
    """Maps images (B, 3, H, W), float32 in [0, 1], to logits (B, K).

    A group of blocks counts as one layer, so that every depth has the same five. The batch norm
    that ends the last group belongs to the head, whose scale it sets.
    """

    LAYERS: ClassVar[tuple[str, ...]] = ("conv1", "group1", "group2", "group3", "head")

    def __init__(self, spec: WideResNetSpec, n_classes: int) -> None:
        super().__init__()
        blocks, wide = (spec.depth - 4) // (2 * _GROUPS), _STEM_CHANNELS * spec.width
        self.conv1 = nn.Conv2d(3, _STEM_CHANNELS, 3, padding=1, bias=False)
        self.group1 = _group(blocks, _STEM_CHANNELS, wide, 1, spec.dropout)
        self.group2 = _group(blocks, wide, 2 * wide, 2, spec.dropout)
        self.group3 = _group(blocks, 2 * wide, 4 * wide, 2, spec.dropout)
        self.head = _Head(4 * wide, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, K) of ``images`` (B, 3, H, W)."""
        x = images.contiguous(memory_format=torch.channels_last)
        logits: torch.Tensor = self.head(self.group3(self.group2(self.group1(self.conv1(x)))))
        return logits


class _Block(nn.Module):
    """Batch norm and ReLU come before each convolution, so that the shortcut stays a plain sum."""

    def __init__(self, n_in: int, n_out: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        same = n_in == n_out and stride == 1
        self.shortcut = None if same else nn.Conv2d(n_in, n_out, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ready = relu(self.norm1(x))
        straight = x if self.shortcut is None else self.shortcut(ready)
        inner = relu(self.norm2(self.conv1(ready)))
        total: torch.Tensor = straight + self.conv2(self.dropout(inner))
        return total


class _Head(nn.Module):
    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.linear(relu(self.norm(x)).mean(dim=(2, 3)))
        return logits


def _group(blocks: int, n_in: int, n_out: int, stride: int, dropout: float) -> nn.Sequential:
    first = _Block(n_in, n_out, stride, dropout)
    return nn.Sequential(first, *(_Block(n_out, n_out, 1, dropout) for _ in range(blocks - 1)))
