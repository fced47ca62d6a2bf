"""`jitter`: several copies of each proxy window, which differ by less than anybody hears."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from attacker.sources.altered import AlteredSource, Wave
from attacker.sources.amplify import AmplifySpec
from attacker.sources.base import Source, SourceContext
from attacker.sources.chain import Link
from attacker.sources.mix_noise import MixNoiseSpec
from shared.config import Frozen

RESIZING = ("speed",)
"""The links that need a longer window by chance, so that copies would not be of one window."""


class JitterSpec(Frozen):
    """Sends ``copies`` jittered copies of each window of the proxy corpus, one after the other.

    Query q is copy q % ``copies`` of window q // ``copies``: a budget buys that many times fewer
    windows. No copy is the window itself. All settings are our own choice.
    """

    kind: Literal["jitter"] = "jitter"
    copies: int = Field(default=3, ge=2, le=1000)
    links: tuple[Link, ...] = Field(
        default=(AmplifySpec(max_gain=1.06), MixNoiseSpec(snr_db=(40, 50))), max_length=8
    )
    """What each copy goes through, with draws of its own: as in a chain, but without speed. The
    default is half a decibel up or down, and noise 40 to 50 dB below the window."""
    max_shift_s: float = Field(default=0.002, ge=0, le=1)
    """How far a copy is shifted at most, either way."""

    @model_validator(mode="after")
    def _copies_differ(self) -> Self:
        for place, link in enumerate(self.links):
            if link.kind in RESIZING:
                raise ValueError(
                    f"links.{place}: {link.kind} takes another length of the window for each copy. "
                    "Leave it out; pitch_shift keeps the length"
                )
        if not self.links and not self.max_shift_s:
            raise ValueError(
                "without links and with max_shift_s 0 all copies are equal, and a victim that "
                "answers a repeated clip as before sells nothing new. Name a link or a shift"
            )
        return self

    def build(self, context: SourceContext) -> Source:
        """Return the source.

        Raises:
            SourceMismatch: a link cannot be made at the victim's sample rate.
        """
        return JitterSource(context, self)


class JitterSource(AlteredSource):
    """Copies of windows of the proxy corpus; group g is the walk's step g."""

    def __init__(self, context: SourceContext, spec: JitterSpec) -> None:
        super().__init__(context, spec.kind, spec.links)
        self.copies = spec.copies
        self.reach_samples = round(spec.max_shift_s * context.sample_rate_hz)

    def group_of(self, indices: np.ndarray) -> np.ndarray:
        """Return the window that each query is a copy of."""
        groups: np.ndarray = np.asarray(indices, dtype=np.int64) // self.copies
        return groups

    def window(self, index: int, samples: int) -> Wave:
        """Return the shifted window of query ``index``."""
        # All copies cut theirs from one longer window: the walk draws by the length it is asked.
        whole = self.walk.window(index // self.copies, samples + 2 * self.reach_samples)
        first = int(self.stream("shift", index).integers(0, 2 * self.reach_samples, endpoint=True))
        return whole[first : first + samples]
