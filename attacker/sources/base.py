"""What every query source is: a pure function from a query's index to its clip."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from attacker.errors import SourceError
from shared.audio import from_int16, to_int16
from shared.seeding import numpy_stream

if TYPE_CHECKING:
    from shared.corpora.store import ClipStore


@dataclass(frozen=True)
class SourceContext:
    """What a source is made for: the victim's audio, the campaign's seed, the proxy corpus."""

    sample_rate_hz: int
    clip_samples: int
    """T: samples of one clip."""
    seed: int
    open_proxy: Callable[[], "ClipStore"]
    """Opens the proxy corpus at ``sample_rate_hz``; only sources that need it call this."""
    device: str = "cpu"

    @cached_property
    def proxy(self) -> "ClipStore":
        """The decoded proxy corpus."""
        return self.open_proxy()


class Source(ABC):
    """Makes clip q of a campaign from (material, seed, q) alone.

    ``render`` is final: it checks what a source made and puts it on the grid of 16-bit audio, which
    is what goes over the wire. A source writes :meth:`make`, or :meth:`make_batch` where a batch
    is made in one go; either must not let a clip depend on its company.
    """

    material: str
    """Identity of everything but seed and index that a clip depends on, such as a sha256."""

    def __init__(self, context: SourceContext, name: str) -> None:
        self.context = context
        self.name = name

    def render(self, indices: np.ndarray) -> np.ndarray:
        """Return the clips (B, T), float32 in [-1, 1), of the queries ``indices`` (B,).

        Raises:
            SourceError: the source made clips of a wrong shape, not finite, or outside [-1, 1].
        """
        indices = np.asarray(indices, dtype=np.int64)
        if indices.ndim != 1 or (indices.size and indices.min() < 0):
            raise SourceError(f"query indices must be (B,) and >= 0, not {indices}. Mend the call.")
        if not indices.size:
            return np.zeros((0, self.context.clip_samples), dtype=np.float32)
        clips = self.make_batch(indices)
        wanted = (len(indices), self.context.clip_samples)
        if clips.shape != wanted:
            raise SourceError(f"{self.name} made {clips.shape}, not {wanted}. Mend this source.")
        return self.on_grid(clips)

    def on_grid(self, clips: np.ndarray) -> np.ndarray:
        """Return ``clips`` (B, T) as 16-bit audio holds them, float32.

        Raises:
            SourceError: they are not finite, or outside [-1, 1].
        """
        peak = float(np.abs(clips).max(initial=0))
        if not peak <= 1.0:  # NaN is not <= 1 either
            raise SourceError(
                f"{self.name} made samples that are not finite or reach {peak}, beyond [-1, 1]. "
                "Mend this source, or lower its gain."
            )
        return from_int16(to_int16(clips))

    def training_clips(self, indices: np.ndarray) -> np.ndarray:
        """Return what a surrogate hears of the queries ``indices`` (B,): (B, T), as they were sent.

        A source that disguises its windows may return them as they are.
        """
        return self.render(indices)

    def trained_on(self, indices: np.ndarray) -> np.ndarray:
        """Return which queries of ``indices`` (B,) are bought to be trained on, (B,) bool.

        All, but for a source that pays for company: what it marks False is never kept.
        """
        return np.ones(len(indices), dtype=bool)

    def group_of(self, indices: np.ndarray) -> np.ndarray | None:
        """Return which window each query of ``indices`` (B,) is a copy of, (B,) int64.

        None: the source sends no copies, and every clip stands for itself.
        """
        del indices
        return None

    def make_batch(self, indices: np.ndarray) -> np.ndarray:
        """Return clips (B, T) in [-1, 1], one :meth:`make` after the other."""
        return np.stack(
            [self.make(int(index), self.stream(self.name, int(index))) for index in indices]
        )

    @abstractmethod
    def make(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """Return clip (T,) of query ``index``; ``rng`` is this query's own stream."""

    def stream(self, *names: str | int) -> np.random.Generator:
        """Return a random stream of this campaign's seed and this source's material."""
        return numpy_stream(self.context.seed, "source", self.material, *names)
