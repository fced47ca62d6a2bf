"""KnaggCNN: a one-dimensional convolutional speaker classifier on raw samples.

Four convolutions (kernels 32, 3, 3, 3; widths F, 2F, 3F, 4F), each with batch norm and ReLU, max
pools of 4, 2 and 2 after the first three, a global maximum over time, a linear embedding (E) and a
linear head (K). At F=128, E=128, K=1251 it has 1,218,019 parameters.

Reference: version B (PyTorch, 2018) of the public ``voicemap`` classifier with 'same' padding, as
used by "Generative Extraction of Audio Classifiers for Speaker Identification", appendix A.2.1.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from shared.config import Frozen
from shared.networks.base import SpeakerNetwork

RMS_TARGET = 0.038021
"""Level to which ``normalise: rms`` scales each clip (voicemap's whitening)."""
_RMS_FLOOR = 1e-8


class KnaggCNNSpec(Frozen):
    """Sizes and switches of a KnaggCNN; ``build`` makes one for K speakers."""

    kind: Literal["knagg_cnn"] = "knagg_cnn"
    filters: int = Field(default=128, ge=1)
    """F: width of the first convolution; the others are 2F, 3F and 4F."""
    embedding: int = Field(default=128, ge=1)
    """E: width of the speaker embedding."""
    normalise: Literal["none", "rms"] = "none"
    """``rms`` removes each clip's mean and scales it to one level, which makes a change of gain
    invisible to the network; ``none`` takes samples as they come."""

    def build(self, n_classes: int) -> "KnaggCNN":
        """Return an untrained network for ``n_classes`` speakers."""
        return KnaggCNN(self, n_classes)


class KnaggCNN(SpeakerNetwork):
    """The network of a :class:`KnaggCNNSpec`.

    Convolutions run as two-dimensional ones of height 1, because a CPU trains those up to 1.4
    times as fast in the channels-last layout; the arithmetic is that of Conv1d.
    """

    LAYERS: ClassVar[tuple[str, ...]] = ("conv1", "conv2", "conv3", "conv4", "embedding", "head")
    head: nn.Linear

    def __init__(self, spec: KnaggCNNSpec, n_classes: int) -> None:
        super().__init__()
        self.normalise = spec.normalise
        f = spec.filters
        self.conv1 = _block(1, f, kernel=32, pool=4)
        self.conv2 = _block(f, 2 * f, kernel=3, pool=2)
        self.conv3 = _block(2 * f, 3 * f, kernel=3, pool=2)
        self.conv4 = _block(3 * f, 4 * f, kernel=3, pool=1)
        self.embedding = nn.Linear(4 * f, spec.embedding)
        self.head = nn.Linear(spec.embedding, n_classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, clips: torch.Tensor) -> torch.Tensor:
        """Return the globally pooled features (B, 4F) of ``clips`` (B, T)."""
        if self.normalise == "rms":
            clips = normalise_rms(clips)
        x = clips[:, None, None, :].contiguous(memory_format=torch.channels_last)
        x = self.conv4(self.conv3(self.conv2(self.conv1(x))))
        pooled: torch.Tensor = x.amax(dim=(2, 3))
        return pooled

    def embed(self, clips: torch.Tensor) -> torch.Tensor:
        """Return the speaker embeddings (B, E) of ``clips`` (B, T)."""
        embedding: torch.Tensor = self.embedding(self.features(clips))
        return embedding


def normalise_rms(clips: torch.Tensor) -> torch.Tensor:
    """Remove each clip's mean and scale it to :data:`RMS_TARGET`; silence stays silence."""
    centred = clips - clips.mean(dim=1, keepdim=True)
    rms = centred.square().mean(dim=1, keepdim=True).sqrt()
    return centred * (RMS_TARGET / rms.clamp_min(_RMS_FLOOR))


class _Same(nn.Module):
    """Zero padding to 'same' length; an even kernel gets its extra sample on the right."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.left, self.right = (kernel - 1) // 2, kernel // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.pad(x, (self.left, self.right))


def _block(n_in: int, n_out: int, *, kernel: int, pool: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    if kernel % 2 == 0:
        parts.append(_Same(kernel))
        padding = 0
    else:
        padding = kernel // 2
    conv = nn.Conv2d(n_in, n_out, (1, kernel), padding=(0, padding))
    parts += [conv, nn.BatchNorm2d(n_out), nn.ReLU()]
    if pool > 1:
        parts.append(nn.MaxPool2d((1, pool)))
    return nn.Sequential(*parts)
