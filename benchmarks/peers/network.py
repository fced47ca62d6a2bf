"""The network that every peer serves: the victim's own checkpoint, in evaluation mode.

Peers get the same weights in the same layout, inference mode, their better number of threads, and
raw int16 in and float32 out, which is cheaper than npy. What Earshot's own serving adds on a CPU is
not theirs: the allocator's setting, computing in parts that fit the caches, folded batch norms. The
``tuned`` form gets the first two all the same, to show how much of a difference is in them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from shared import checkpoint
from shared.networks import KnaggCNNSpec
from shared.runtime import tune_process

_PART_CLIPS = 16
_ALL = 2**20


class Network:
    """The checkpoint in ``folder``, computing with ``threads`` torch threads."""

    def __init__(self, folder: Path, threads: int, *, tuned: bool) -> None:
        if tuned:
            tune_process(threads)
        torch.set_num_threads(threads)
        self._part_clips = _PART_CLIPS if tuned else _ALL
        tensors, card = checkpoint.load(folder)
        spec = KnaggCNNSpec.model_validate(card["network"])
        self._network = spec.build(len(card["labels"]))
        self._network.load_state_dict(tensors)
        self._network.eval()
        self.samples: int = card["clip_samples"]
        self.answer(np.zeros((_PART_CLIPS, self.samples), dtype=np.int16))

    def decode(self, body: bytes) -> npt.NDArray[np.int16]:
        """Return the clips (B, T) in a body of raw int16."""
        return np.frombuffer(body, dtype=np.int16).reshape(-1, self.samples)

    def answer(self, clips: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        """Return the probabilities (B, K) of ``clips`` (B, T)."""
        with torch.inference_mode():
            batch = torch.from_numpy(clips.astype(np.float32) / np.float32(32768))
            parts = [self._network(part).softmax(1) for part in batch.split(self._part_clips)]
            return torch.cat(parts).numpy()

    def answer_all(
        self, requests: Sequence[npt.NDArray[np.int16]]
    ) -> list[npt.NDArray[np.float32]]:
        """Return one answer a request, all computed as one batch."""
        answers = self.answer(np.concatenate(requests))
        ends = np.cumsum([len(clips) for clips in requests])[:-1]
        return np.split(answers, ends)
