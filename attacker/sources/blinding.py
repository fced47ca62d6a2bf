"""`blinding`: proxy windows in disguise, no two alike, and as they were in training if asked."""

from math import ceil, prod
from typing import Literal

import numpy as np
from pydantic import Field

from attacker.sources.altered import AlteredSource, Wave
from attacker.sources.amplify import AmplifySpec
from attacker.sources.base import Source, SourceContext
from attacker.sources.chain import Link
from attacker.sources.filter import FilterSpec
from attacker.sources.mix_noise import MixNoiseSpec
from attacker.sources.speed import SpeedSpec
from attacker.sources.walk import DRAWS, QUIET, rms_of
from shared.config import Frozen

_ROUNDING_SAMPLES = 16
"""What links that round up may take beyond the product of their factors."""


class BlindingSpec(Frozen):
    """Sends windows of the proxy corpus behind random alterations that hide what they are.

    A detector of near-duplicates meets no two clips of one window at one speed, level, band, noise
    and place; one of distances meets a spread that honest microphones make, too. Query q is
    disguise q % ``copies`` of window q // ``copies``. All settings are our own choice.

    Reference: Chen et al., "Stateful Detection of Black-Box Adversarial Attacks", 2020, which calls
    this query blinding.
    """

    kind: Literal["blinding"] = "blinding"
    copies: int = Field(default=1, ge=1, le=1000)
    """Disguises of each window: with several, `average` and `majority` have what they need."""
    links: tuple[Link, ...] = Field(
        default=(
            SpeedSpec(factors=(0.94, 1.06)),
            FilterSpec(high_pass_hz=(40, 180), low_pass_hz=(1_400, 6_000), order=2),
            MixNoiseSpec(snr_db=(18, 35)),
            AmplifySpec(max_gain=2),
        ),
        min_length=1,
        max_length=8,
    )
    """What each disguise goes through, with draws of its own, as in a chain."""
    max_shift_s: float = Field(default=0.08, ge=0, le=1)
    """How far a disguise is shifted at most, either way."""
    undo: bool = False
    """Trains on the window as it was, and not on what was sent: right where the victim hears the
    same speaker through the disguise."""

    def build(self, context: SourceContext) -> Source:
        """Return the source.

        Raises:
            SourceMismatch: a link cannot be made at the victim's sample rate.
        """
        return BlindingSource(context, self)


class BlindingSource(AlteredSource):
    """Disguised windows of the proxy corpus; window w is the walk's step w."""

    def __init__(self, context: SourceContext, spec: BlindingSpec) -> None:
        super().__init__(context, spec.kind, spec.links)
        self.spec = spec
        self.reach_samples = round(spec.max_shift_s * context.sample_rate_hz)
        fastest = prod(link.factors[1] for link in spec.links if isinstance(link, SpeedSpec))
        # All disguises cut theirs from one longer window: the walk draws by the length it is asked.
        longest = ceil(context.clip_samples * max(1, fastest)) + _ROUNDING_SAMPLES
        self.whole_samples = longest + 2 * self.reach_samples

    def group_of(self, indices: np.ndarray) -> np.ndarray | None:
        """Return the window that each query is a disguise of; None where each has one only."""
        if self.spec.copies == 1:
            return None
        groups: np.ndarray = np.asarray(indices, dtype=np.int64) // self.spec.copies
        return groups

    def window(self, index: int, samples: int) -> Wave:
        """Return the window of query ``index``, shifted to where there is something to hear."""
        reach = self.reach_samples
        shifts = self.stream("shift", index).integers(-reach, reach, size=DRAWS, endpoint=True)
        return self._audible(index, samples, shifts)

    def training_clips(self, indices: np.ndarray) -> np.ndarray:
        """Return what was sent, or the windows (B, T) behind it where ``undo`` says so."""
        if not self.spec.undo:
            return self.render(indices)
        samples, reach = self.context.clip_samples, self.reach_samples
        middle = np.array([0, -reach, reach])
        windows = [self._audible(int(index), samples, middle) for index in indices]
        return self.on_grid(np.reshape(windows, (len(indices), samples)))

    def _audible(self, index: int, samples: int, shifts: np.ndarray) -> Wave:
        """Return the window at the first of ``shifts`` that is not silence, or the loudest."""
        whole = self.walk.window(index // self.spec.copies, self.whole_samples)
        cuts = [whole[first : first + samples] for first in self.reach_samples + shifts]
        levels = np.array([rms_of(cut) for cut in cuts])
        heard = np.flatnonzero(levels >= QUIET * rms_of(whole))
        return cuts[int(heard[0] if len(heard) else levels.argmax())]
