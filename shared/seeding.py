"""One root seed, many named streams.

Every random draw comes from a stream that is named by what it is for, so that adding a draw in one
place never shifts the draws of another, and a resumed run finds its stream again by name.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(root: int, *names: str | int) -> int:
    """Return a 63-bit seed for the stream ``names`` under ``root``; the same on every machine."""
    text = "\x1f".join([str(int(root)), *(f"{type(name).__name__}:{name}" for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_stream(root: int, *names: str | int) -> np.random.Generator:
    """Return the numpy generator of the stream ``names`` under ``root``."""
    return np.random.default_rng(derive(root, *names))


def torch_stream(root: int, *names: str | int) -> "torch.Generator":
    """Return the torch CPU generator of the stream ``names`` under ``root``."""
    import torch  # takes seconds to import, and most commands never compute

    return torch.Generator().manual_seed(derive(root, *names))
