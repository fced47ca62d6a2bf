"""Networks whose filters are known: band-passes in conv1, and copies in another order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from attacker.lab.filters.model import FilterModel, load_model
from shared import checkpoint
from shared.networks import KnaggCNN, KnaggCNNSpec

RATE_HZ, SAMPLES, TAPS = 4000, 512, 32
BANDS_HZ = (600.0, 1100.0, 1700.0, 850.0, 1400.0)


def band_network(bands_hz: Sequence[float] = BANDS_HZ) -> KnaggCNN:
    """Return a network whose first filters are band-passes, 250 Hz wide, and the rest random."""
    torch.manual_seed(0)
    network = KnaggCNNSpec(filters=len(bands_hz), embedding=6).build(3).eval()
    time = torch.arange(TAPS) - (TAPS - 1) / 2
    with torch.no_grad():
        conv = network.conv1[1]
        conv.bias.zero_()
        for number, band_hz in enumerate(bands_hz):
            tone = torch.cos(2 * np.pi * band_hz / RATE_HZ * time)
            conv.weight[number, 0, 0] = torch.hann_window(TAPS, periodic=False) * tone
    return network


def random_network(
    *, filters: int = 6, normalise: Literal["none", "rms"] = "none", seed: int = 0
) -> KnaggCNN:
    """Return a network of random weights; every filter answers noise, some batch norms turn it."""
    torch.manual_seed(seed)
    spec = KnaggCNNSpec(filters=filters, embedding=5, normalise=normalise)
    network = spec.build(4)
    norms = [part for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
            norm.weight.uniform_(1, 2).mul_(torch.randn_like(norm.weight).sign())
            norm.bias.normal_(0, 0.2)
        network.train()(torch.rand(8, SAMPLES) * 2 - 1)
    return network.eval()


def reordered(network: KnaggCNN, order: Sequence[int]) -> KnaggCNN:
    """Return a copy of ``network`` whose filter n of conv1 is filter ``order[n]`` of its own."""
    filters = network.conv1[1].out_channels
    embedding, head = network.embedding, network.head
    copy = KnaggCNNSpec(filters=filters, embedding=embedding.out_features).build(head.out_features)
    tensors = {
        name: value[list(order)] if name.startswith("conv1") and value.dim() else value
        for name, value in network.state_dict().items()
    }
    copy.load_state_dict(tensors)
    return copy.eval()


def write_model(
    folder: Path,
    network: KnaggCNN,
    *,
    kind: str = "victim",
    rate_hz: int = RATE_HZ,
    samples: int = SAMPLES,
    labels: Sequence[str] | None = None,
) -> FilterModel:
    """Write ``network`` as a checkpoint and read it again."""
    spec = KnaggCNNSpec(
        filters=network.conv1[-3].num_features,
        embedding=network.embedding.out_features,
        normalise=network.normalise,
    )
    names = labels or [f"speaker-{n}" for n in range(network.head.out_features)]
    card = {
        "kind": kind,
        "network": spec.model_dump(mode="json"),
        "labels": list(names),
        "sample_rate_hz": rate_hz,
        "clip_samples": samples,
    }
    checkpoint.save(folder, network.state_dict(), card)
    return load_model(folder)
