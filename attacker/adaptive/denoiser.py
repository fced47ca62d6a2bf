"""`denoiser`: what the model had said, as a small network guesses that learnt a known defence."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from attacker.adaptive.base import Adaption, AdaptionContext
from attacker.adaptive.dirichlet import draw_pairs
from attacker.adaptive.undoing import Undoing, UndoingSpec
from attacker.known_defences import KnownDefence
from shared.seeding import derive, numpy_stream

_FLOOR = 1e-6
"""Probabilities below this are taken for it in logarithms: about what float32 answers resolve."""
_BATCH_ROWS = 128
_LEARNING_RATE = 2e-3  # at the start; it falls in a straight line to 0


class DenoiserSpec(UndoingSpec):
    """Trains on what a small network makes of the answers.

    The network has learnt to tell Dirichlet draws from what the known defence makes of them, each
    draw once. Unlike the table of `inversion` it has no tolerance to miss, so that it serves where
    many labels leave every draw far from every answer. All settings are our own choice.

    Reference: D-DAE+ of Tang et al., "ModelGuard", USENIX Security 2024.
    """

    kind: Literal["denoiser"] = "denoiser"
    rows: int = Field(default=200_000, ge=1_000, le=10_000_000)
    """Draws that the network learns from."""
    hidden: int = Field(default=256, ge=8, le=4096)
    """Width of its two hidden layers."""

    def build(self, context: AdaptionContext) -> Adaption:
        """Return the adaption.

        Raises:
            KnowledgeMissing: the defence is not known.
        """
        return Denoiser(self, context.demand_defence(self.kind), context.seed)


class Denoiser(Undoing):
    """Adaption that learns anew whenever it adapts."""

    def __init__(self, spec: DenoiserSpec, known: KnownDefence, seed: int) -> None:
        super().__init__(known, seed)
        self.spec = spec

    def guess(self, ordered: np.ndarray) -> np.ndarray:
        """Return what a network that has learnt the defence makes of ``ordered`` (N, K)."""
        network = self.learn(ordered.shape[1])
        with torch.no_grad():
            logits: torch.Tensor = network(torch.from_numpy(ordered))
        rows: np.ndarray = logits.softmax(dim=1).double().numpy()
        return rows

    def learn(self, classes: int) -> "DenoisingNetwork":
        """Return a network that has seen all draws once; it takes descending rows of ``classes``.

        The loss is the cross-entropy with the clean rows, which their expectation makes least.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.seed, "weights"))
            network = DenoisingNetwork(classes, self.spec.hidden)
        optimiser = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
        rng = numpy_stream(self.seed, "draws")
        seen = 0
        for pairs in draw_pairs(self.known, classes, self.spec.rows, self.spec.concentration, rng):
            for first in range(0, len(pairs.clean), _BATCH_ROWS):
                part = slice(first, first + _BATCH_ROWS)
                optimiser.param_groups[0]["lr"] = _LEARNING_RATE * (1 - seen / self.spec.rows)
                logits = network(torch.from_numpy(pairs.defended[part]))
                loss = F.cross_entropy(logits, torch.from_numpy(pairs.clean[part]).float())
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                seen += len(logits)
        return network.eval()


class DenoisingNetwork(nn.Module):
    """Adds to the logarithms of defended rows (B, K) what two hidden layers say, from 0 on."""

    def __init__(self, classes: int, hidden: int) -> None:
        super().__init__()
        last = nn.Linear(hidden, classes)
        self.correction = nn.Sequential(
            nn.Linear(2 * classes, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last
        )
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, K) float32 of the clean rows, in the order of ``rows``."""
        rows = rows.float()
        logs = rows.clamp_min(_FLOOR).log()
        corrected: torch.Tensor = logs + self.correction(torch.cat([rows, logs / 10], dim=1))
        return corrected
