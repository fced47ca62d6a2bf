"""What is remembered of one account's stream, as the ledger keeps it: one safetensors document.

It holds the arrays of every detector that ever watched the account, each under the detector's name,
how many clips its window has, and the names of the latest queries, so that a query that is sent
again is not seen twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as dump_arrays

from victim_service.account_state import AccountState
from victim_service.detectors import Memory
from victim_service.ledger.records import Watched

RING = 64
"""Latest queries whose names are kept."""
NAME_BYTES = 16
_RING, _FILLED = "queries", "filled"


@dataclass(frozen=True)
class Remembered:
    """Of one account, at one version in the ledger."""

    version: int = 0
    state: AccountState = field(default_factory=AccountState)
    queries: tuple[bytes, ...] = ()
    """Names of the latest queries, the latest last."""
    memories: Mapping[str, Memory] = field(default_factory=dict)
    """What each detector remembers, by its name."""
    filled: Mapping[str, int] = field(default_factory=dict)
    """Clips in each detector's open window."""

    @classmethod
    def read(cls, watched: Watched) -> "Remembered":
        """Return what ``watched`` says.

        Raises:
            ValueError: it was not written by this program.
        """
        state = AccountState.read(watched.state)
        if not watched.memory:
            return cls(watched.version, state)
        try:
            arrays = load_arrays(watched.memory)
            ring = arrays.pop(_RING)
        except (SafetensorError, KeyError) as error:
            raise ValueError("what is remembered of the account is damaged") from error
        memories: dict[str, dict[str, npt.NDArray[np.generic]]] = {}
        filled: dict[str, int] = {}
        for place, array in arrays.items():
            detector, _, name = place.partition("/")
            if name == _FILLED:
                filled[detector] = int(array[0])
                memories.setdefault(detector, {})
            else:
                memories.setdefault(detector, {})[name.removeprefix("=")] = array
        queries = tuple(row.tobytes() for row in ring)
        return cls(watched.version, state, queries, memories, filled)

    @property
    def document(self) -> bytes:
        """What the ledger keeps, beside the state."""
        ring = np.frombuffer(b"".join(self.queries[-RING:]), np.uint8)
        arrays: dict[str, npt.NDArray[np.generic]] = {_RING: ring.reshape(-1, NAME_BYTES)}
        for detector, memory in self.memories.items():
            arrays[f"{detector}/{_FILLED}"] = np.array([self.filled[detector]], np.int64)
            for name, array in memory.items():
                # Marked, so that a detector may call an array as it likes.
                arrays[f"{detector}/={name}"] = np.ascontiguousarray(array)
        document: bytes = dump_arrays(arrays)
        return document
