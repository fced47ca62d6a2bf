"""The victim's own command line with a model that answers at once: what is left is the wire.

Everything else is the real service: ledger, keys, plans, decoding, batching and the application.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.forward import SAMPLES, SPEAKERS
from victim_service import __main__ as command_line
from victim_service import serve
from victim_service.model import VictimCard


class ConstantPredictor:
    """Stands where the network would be: every clip gets the same probabilities (K,)."""

    workers = 1
    batch_clips = 256

    def __init__(
        self, folder: Path, device: str = "auto", workers: int | None = None, **options: object
    ) -> None:
        labels = [f"speaker-{number}" for number in range(SPEAKERS)]
        self.card = VictimCard("0" * 64, labels, sample_rate_hz=4000, clip_samples=SAMPLES)
        self._row = np.full((1, SPEAKERS), 1 / SPEAKERS, dtype=np.float32)

    def predict(self, clips: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the probabilities (B, K) of ``clips`` (B, T)."""
        return np.repeat(self._row, len(clips), axis=0)

    def warm_up(self) -> None:
        """There is nothing to warm."""


def main() -> None:
    """Run ``earshot-victim`` with the constant model."""
    service: Any = serve
    service.Predictor = ConstantPredictor
    command_line.main()


if __name__ == "__main__":
    main()
