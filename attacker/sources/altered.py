"""Altered windows of the proxy corpus: what an alteration is, and the one source that sends them.

An alteration is apart from the source, so that each may also be a link of a ``chain``. A new one is
a file with its :class:`AlterationSpec` and its :class:`Alteration`, and a line in ``links.py``.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import AfterValidator, Field

from attacker.sources.base import Source, SourceContext
from attacker.sources.walk import ProxyWalk
from shared.config import Frozen

Wave = np.ndarray


@dataclass(frozen=True)
class Change:
    """What one window goes through; nothing is left to chance any more."""

    takes_samples: int
    """Samples of the window that it takes."""
    apply: Callable[[Wave], Wave]
    """From that window, float32 in [-1, 1], to as many samples as were asked for. What leaves
    [-1, 1] is clipped afterwards."""


class Alteration(ABC):
    """A way to alter windows; it is shared by all queries and keeps nothing of any."""

    @abstractmethod
    def draw(self, samples: int, rng: np.random.Generator) -> Change:
        """Return a random change that makes ``samples`` samples; all its draws are of ``rng``."""


class AlterationSpec(Frozen, ABC):
    """Base of the specs whose source sends altered windows, and which may be links of a chain."""

    kind: str
    probability: float = Field(default=1.0, ge=0, le=1)
    """p: share of windows that are altered; the others are sent as they are. Default: ours."""

    @abstractmethod
    def alteration(self, sample_rate_hz: int) -> Alteration:
        """Return the alteration of audio at ``sample_rate_hz``.

        Raises:
            SourceMismatch: it cannot be made at that rate.
        """

    def build(self, context: SourceContext) -> Source:
        """Return the source of windows that are altered in this one way.

        Raises:
            SourceMismatch: the alteration cannot be made at the victim's sample rate.
        """
        return AlteredSource(context, self.kind, (self,))


@dataclass(frozen=True)
class _Link:
    kind: str
    turn: int
    probability: float
    alteration: Alteration

    @property
    def suffix(self) -> tuple[int, ...]:
        # The first of a kind has no number: journals of before there were chains are made so.
        return (self.turn,) if self.turn else ()


class AlteredSource(Source):
    """Windows of the proxy corpus that go through ``specs``, the first one first.

    Each link draws from a stream of its own, named by its kind and its turn among the links of that
    kind: a chain of one link sends the very clips of that link's own source, and a link that is
    added, or is less probable, does not change what the others draw.
    """

    def __init__(self, context: SourceContext, name: str, specs: Sequence[AlterationSpec]) -> None:
        super().__init__(context, name)
        self.walk = ProxyWalk(context)
        self.material = self.walk.material
        self.links = []
        seen: Counter[str] = Counter()
        for spec in specs:
            alteration = spec.alteration(context.sample_rate_hz)
            self.links.append(_Link(spec.kind, seen[spec.kind], spec.probability, alteration))
            seen[spec.kind] += 1

    def make(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """Return the window of query ``index`` after the links that its draws chose."""
        del rng
        samples = self.context.clip_samples
        changes: list[Change] = []
        # From the last to the first: each says how much the one before has to leave it.
        for link in reversed(self.links):
            stream = self.stream(link.kind, index, *link.suffix)
            if stream.random() < link.probability:
                changes.append(link.alteration.draw(samples, stream))
                samples = changes[-1].takes_samples
        window = self.window(index, samples)
        for change in reversed(changes):
            window = np.clip(change.apply(window), -1, 1)
        return window

    def window(self, index: int, samples: int) -> Wave:
        """Return the ``samples`` samples that the links of query ``index`` alter."""
        return self.walk.window(index, samples)


def within(least: float, most: float) -> AfterValidator:
    """Return the validator of a range [low, high] that ascends inside [``least``, ``most``]."""

    def check(pair: tuple[float, float]) -> tuple[float, float]:
        if not least <= pair[0] <= pair[1] <= most:  # NaN is refused too
            raise ValueError(
                f"write a range [low, high] with {least:g} <= low <= high <= {most:g}, "
                f"not {list(pair)}"
            )
        return pair

    return AfterValidator(check)


def log_uniform(rng: np.random.Generator, span: tuple[float, float]) -> float:
    """Return a draw from ``span``, both ends > 0, whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(span[0]), np.log(span[1]))))


def fft_samples(samples: int) -> int:
    """Return a quick FFT length at which ``samples`` convolved with as many do not wrap around."""
    return 1 << (2 * samples - 1).bit_length()
