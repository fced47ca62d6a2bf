"""The loss of labels and of probabilities, at a temperature."""

from typing import Literal

import torch
import torch.nn.functional as F


def classification_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    temperature: float = 1.0,
    reduction: Literal["mean", "sum"] = "mean",
) -> torch.Tensor:
    """Return the cross-entropy of ``logits`` (B, K) with labels (B,) or probabilities (B, K).

    With probabilities p and a temperature T it is T^2 CE(softmax(z/T), p^(1/T) / sum p^(1/T)): the
    softened answers of a model that is asked for probabilities alone. T^2 keeps the size of the
    gradient. Labels have no temperature.

    Reference: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015),
    section 2.
    """
    logits = logits.float()
    if targets.ndim == 1 or temperature == 1:
        return F.cross_entropy(logits, targets, reduction=reduction)
    softened = soften(targets, temperature)
    loss = F.cross_entropy(logits / temperature, softened, reduction=reduction)
    return loss * temperature**2


def soften(probabilities: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return p^(1/T), each row (K,) of ``probabilities`` (B, K) normalised to sum to 1."""
    powers = probabilities ** (1 / temperature)
    return powers / powers.sum(dim=1, keepdim=True)
