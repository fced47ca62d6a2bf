"""The quickest form of a network on a CPU: the same function, with answers within 1e-5.

Batch norms are folded into the convolutions before them, and pooling comes before the rectifier:
the maximum of rectified values is the rectified maximum, of which there are fewer. The whole
forward is one call into C++, so that a thread that computes does not have to win Python's lock back
between any two layers from an event loop that is busy.
"""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from shared.networks.base import SpeakerNetwork

Array = npt.NDArray[np.float32]

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d)
_ROWS = 8
_EXAMPLE_CLIPS = 3


class CpuForm:
    """Answers (B, T) clips with (B, K + E): probabilities, and embeddings beside them.

    It may be called from several threads, and a row is the same alone and in any batch.

    Every calling thread computes on its own, with ``threads`` torch threads: that keeps all
    processors busy even while one of them serves the wire.
    """

    def __init__(self, network: nn.Module, threads: int, clip_samples: int) -> None:
        fold_batch_norms(network)
        pool_before_rectifying(network)
        steady_linears(network)
        self._forward = one_call(network, clip_samples)
        self._threads = threads
        self._prepared = threading.local()

    def __call__(self, clips: Array) -> Array:
        """Return probabilities and embeddings (B, K + E) of ``clips`` (B, T)."""
        if not getattr(self._prepared, "done", False):
            torch.set_num_threads(self._threads)  # OpenMP keeps this for each thread
            self._prepared.done = True
        # A lone clip takes other convolution kernels, with another order of sums, than two do.
        rows = np.repeat(clips, 2, axis=0) if len(clips) == 1 else np.ascontiguousarray(clips)
        with torch.inference_mode():
            answer: Array = self._forward(torch.from_numpy(rows)).numpy()
        return answer[: len(clips)]


def logits_and_embeddings(
    network: nn.Module, clips: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits (B, K) and embeddings (B, E) of ``clips``.

    E is 0 for a network that is not one of speakers.
    """
    if isinstance(network, SpeakerNetwork):
        embeddings = network.embed(clips)
        return network.head(embeddings), embeddings
    logits: torch.Tensor = network(clips)
    return logits, logits[:, :0]


class _SideBySide(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        logits, embeddings = logits_and_embeddings(self.network, clips)
        return torch.cat((logits.softmax(dim=1), embeddings), dim=1)


def one_call(network: nn.Module, clip_samples: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return clips (B, T) to rows (B, K + E) by ``network``, as one call without the GIL.

    It is traced once, on :data:`_EXAMPLE_CLIPS` clips, and serves any number of them.
    """
    example = torch.zeros(_EXAMPLE_CLIPS, clip_samples)
    with _no_advice(), torch.inference_mode():
        traced = torch.jit.trace(_SideBySide(network).eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
        frozen: Callable[[torch.Tensor], torch.Tensor] = torch.jit.freeze(traced)
    return frozen


@contextmanager
def _no_advice() -> Iterator[None]:
    """Keep torch from saying that it would rather compile: that takes a C++ compiler."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def fold_batch_norms(network: nn.Module) -> None:
    """Fold each batch norm that directly follows a convolution into it, in place.

    The network must be in evaluation mode; it cannot be trained afterwards.
    """
    for part in network.modules():
        if not isinstance(part, nn.Sequential):
            continue
        folded: list[nn.Module] = []
        for layer in part:
            before = folded[-1] if folded else None
            if isinstance(layer, _NORMS) and isinstance(before, _CONVOLUTIONS):
                folded[-1] = fuse_conv_bn_eval(before, layer)
            else:
                folded.append(layer)
        _replace(part, folded)


def pool_before_rectifying(network: nn.Module) -> None:
    """Swap each ReLU with the max pooling that directly follows it, in place.

    What is left over of a sum may be rectified where it lies: nothing else reads it.
    """
    for part in network.modules():
        if not isinstance(part, nn.Sequential):
            continue
        layers = list(part)
        for place in range(len(layers) - 1):
            first, second = layers[place : place + 2]
            if isinstance(first, nn.ReLU) and isinstance(second, _MAX_POOLS):
                layers[place : place + 2] = second, first
        for before, layer in pairwise(layers):
            if isinstance(layer, nn.ReLU) and isinstance(before, _CONVOLUTIONS + _MAX_POOLS):
                layer.inplace = True
        _replace(part, layers)


class _SteadyLinear(nn.Module):
    """A linear layer whose answer for a row does not depend on how many rows come with it.

    Matrix products of a few rows take another path, and another order of sums, than those of many.
    Rows are therefore padded to a multiple of eight, which costs next to nothing.
    """

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        self.plain = plain
        self.rows = _ROWS

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        count = rows.size(0)
        padded = nn.functional.pad(rows, (0, 0, 0, -count % self.rows))
        answer: torch.Tensor = self.plain(padded)[:count]
        return answer


def steady_linears(network: nn.Module) -> None:
    """Make the linear layers of ``network`` independent of the batch, in place."""
    for name, part in list(network.named_children()):
        if isinstance(part, nn.Linear):
            # Written, not traced: how much is padded differs from call to call.
            with _no_advice():
                setattr(network, name, torch.jit.script(_SteadyLinear(part)))
        else:
            steady_linears(part)


def _replace(part: nn.Sequential, layers: list[nn.Module]) -> None:
    part._modules.clear()
    for place, layer in enumerate(layers):
        part.add_module(str(place), layer)
