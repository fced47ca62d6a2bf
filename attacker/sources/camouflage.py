"""`camouflage`: another source's clips, hidden among those of somebody who looks honest."""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from attacker.sources.amplify import AmplifySpec
from attacker.sources.base import Source, SourceContext
from attacker.sources.blinding import BlindingSpec
from attacker.sources.chain import ChainSpec
from attacker.sources.gaussian_noise import GaussianNoiseSpec
from attacker.sources.interpolate import InterpolateSpec
from attacker.sources.jitter import JitterSpec
from attacker.sources.links import LinkSpec
from attacker.sources.mix_noise import MixNoiseSpec
from attacker.sources.proxy import ProxySpec
from attacker.sources.wavegan import WaveganSpec
from shared.config import Frozen

Hidden = Annotated[
    ProxySpec
    | LinkSpec
    | ChainSpec
    | JitterSpec
    | BlindingSpec
    | InterpolateSpec
    | GaussianNoiseSpec
    | WaveganSpec,
    Field(discriminator="kind"),
]
Render = Callable[[np.ndarray], np.ndarray]
_LINKS = (AmplifySpec(max_gain=1.4), MixNoiseSpec(snr_db=(30, 45)))
"""How one microphone differs from one day to the next. Our own choice."""


class CamouflageSpec(Frozen):
    """Sends the clips of ``source`` among those of one speaker of the proxy corpus.

    A ``share`` of the queries are windows of that one speaker, a little louder or noisier each
    time, as somebody sends them who asks about nobody else. They are paid for, and nothing is
    trained on their answers. The others are the queries of ``source``, in order.
    """

    kind: Literal["camouflage"] = "camouflage"
    share: float = Field(default=0.5, ge=0.01, le=0.99)
    """Share of the queries that are camouflage, spread evenly. The default is our own choice."""
    source: Hidden = ProxySpec()
    """What is hidden."""

    def build(self, context: SourceContext) -> Source:
        """Return the source.

        Raises:
            SourceMismatch: the hidden source does not fit the victim's audio.
        """
        return CamouflageSource(context, self)


class CamouflageSource(Source):
    """Queries of a hidden source, and windows of one speaker between them."""

    def __init__(self, context: SourceContext, spec: CamouflageSpec) -> None:
        super().__init__(context, spec.kind)
        self.hidden = spec.source.build(context)
        self.kept_share = 1 - spec.share
        store = context.proxy
        self.material = f"{self.hidden.material}+{store.manifest_sha256}"
        speakers = sorted({clip.speaker for clip in store.clips})
        self.speaker = speakers[int(self.stream("speaker").integers(len(speakers)))]
        self.own = [n for n, clip in enumerate(store.clips) if clip.speaker == self.speaker]
        self.alterations = [link.alteration(context.sample_rate_hz) for link in _LINKS]

    def trained_on(self, indices: np.ndarray) -> np.ndarray:
        """Return which queries (B,) are those of the hidden source."""
        return self._hidden_before(np.asarray(indices) + 1) > self._hidden_before(indices)

    def group_of(self, indices: np.ndarray) -> np.ndarray | None:
        """Return the hidden source's groups; each camouflage query is a group of its own."""
        indices = np.asarray(indices, dtype=np.int64)
        groups = self.hidden.group_of(self._hidden_before(indices))
        return None if groups is None else np.where(self.trained_on(indices), groups, -1 - indices)

    def make_batch(self, indices: np.ndarray) -> np.ndarray:
        """Return clips (B, T), each from where it belongs."""
        return self._assembled(indices, self.hidden.render)

    def training_clips(self, indices: np.ndarray) -> np.ndarray:
        """Return what the hidden source trains on; camouflage is as it was sent."""
        return self.on_grid(self._assembled(np.asarray(indices), self.hidden.training_clips))

    def make(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """Return the camouflage of query ``index``."""
        samples = self.context.clip_samples
        changes = [alteration.draw(samples, rng) for alteration in self.alterations]
        clip = self.own[int(rng.integers(len(self.own)))]
        window: np.ndarray = self.context.proxy.random_crops([clip], samples, rng)[0]
        for change in changes:
            window = np.clip(change.apply(window), -1, 1)
        return window

    def _assembled(self, indices: np.ndarray, hidden: Render) -> np.ndarray:
        clips = np.zeros((len(indices), self.context.clip_samples), dtype=np.float32)
        ours = self.trained_on(indices)
        if ours.any():
            clips[ours] = hidden(self._hidden_before(indices[ours]))
        if not ours.all():
            clips[~ours] = super().make_batch(indices[~ours])
        return clips

    def _hidden_before(self, indices: np.ndarray) -> np.ndarray:
        """Return how many queries of the hidden source come before each index, (B,) int64."""
        return np.floor(np.asarray(indices) * self.kept_share).astype(np.int64)
