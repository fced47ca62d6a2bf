"""What every network offers: layers that have names, so that the first of them can be copied."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import torch
from torch import nn


class LayeredNetwork(nn.Module):
    """A network whose layers are named.

    ``LAYERS`` names the layers from the input to the head, each a direct child module: the k of
    "the victim's first k layers" counts them.
    """

    LAYERS: ClassVar[tuple[str, ...]]
    _frozen: tuple[str, ...] = ()

    def freeze(self, names: Sequence[str]) -> None:
        """Let the layers ``names`` keep their weights and batch statistics in any training."""
        self._frozen = tuple(names)
        for name in self._frozen:
            self.get_submodule(name).requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the training mode; frozen layers stay in evaluation mode."""
        super().train(mode)
        for name in self._frozen:
            self.get_submodule(name).eval()
        return self


class SpeakerNetwork(LayeredNetwork, ABC):
    """Maps clips (B, T), float32 in [-1, 1], to logits (B, K)."""

    head: nn.Module
    """Maps embeddings (B, E) to logits (B, K)."""

    @abstractmethod
    def embed(self, clips: torch.Tensor) -> torch.Tensor:
        """Return the speaker embeddings (B, E) of ``clips`` (B, T)."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, K) of ``clips`` (B, T)."""
        logits: torch.Tensor = self.head(self.embed(clips))
        return logits


def copy_first_layers(
    target: LayeredNetwork, tensors: Mapping[str, torch.Tensor], count: int
) -> tuple[str, ...]:
    """Start ``target`` from the first ``count`` layers of another checkpoint's ``tensors``.

    Returns the names of the copied layers; a caller that wants them frozen can freeze those.

    Raises:
        ValueError: ``count`` is out of range, or the layers' shapes differ.
    """
    if not 0 <= count <= len(target.LAYERS):
        raise ValueError(
            f"cannot copy {count} layers: this network has {len(target.LAYERS)} "
            f"({', '.join(target.LAYERS)}). Name a count from 0 to {len(target.LAYERS)}."
        )
    names = target.LAYERS[:count]
    own = target.state_dict()
    wanted = [key for key in own if key.split(".", 1)[0] in names]
    wrong = [key for key in wanted if key not in tensors or tensors[key].shape != own[key].shape]
    if wrong:
        raise ValueError(
            f"cannot copy the first {count} layers: {', '.join(wrong)} differ in shape or are "
            "missing. Use a network of the same kind, sizes and number of classes, or fewer layers."
        )
    with torch.no_grad():
        for key in wanted:
            own[key].copy_(tensors[key])
    return names
