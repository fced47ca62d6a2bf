"""`wavegan`: synthetic speech of a generator that was trained on the proxy corpus."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from attacker.errors import SourceMismatch
from attacker.sources.base import Source, SourceContext
from shared.config import Frozen
from shared.corpora import expanded

_SILENCE = 1e-6


class WaveganSpec(Frozen):
    """Sends G(z), z uniform in [-1, 1), of a generator made by ``earshot-attacker train-gan``.

    A WaveGAN learns peak-normalised speech, and is therefore louder than most proxy clips.

    Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", section 5.
    """

    kind: Literal["wavegan"] = "wavegan"
    generator: str
    """Folder of the generator; a relative one is looked for here, then beside the package."""
    normalise_peak: bool = False
    """Whether each clip is scaled to a peak of 1 before ``gain``."""
    gain: float = Field(default=1.0, gt=0, le=1)
    """Factor on every clip."""

    def build(self, context: SourceContext) -> Source:
        """Return the source.

        Raises:
            CheckpointError: there is no generator in that folder, or it was altered.
            SourceMismatch: it makes clips of another rate or length than the victim takes.
        """
        return WaveganSource(context, self)


class WaveganSource(Source):
    """Clips of a WaveGAN generator."""

    def __init__(self, context: SourceContext, spec: WaveganSpec) -> None:
        super().__init__(context, "wavegan")
        from attacker.wavegan.generator import load_generator

        folder = find_generator(spec.generator)
        self.spec = spec
        self.generator = load_generator(folder, context.device)
        made = (self.generator.sample_rate_hz, self.generator.samples)
        if made != (context.sample_rate_hz, context.clip_samples):
            raise SourceMismatch(
                f"the generator in {folder} makes {made[1]} samples at {made[0]} Hz, and the "
                f"victim takes {context.clip_samples} at {context.sample_rate_hz} Hz. Train one "
                "for this victim with `earshot-attacker train-gan`, or name another folder."
            )
        self.material = self.generator.hash

    def make_batch(self, indices: np.ndarray) -> np.ndarray:
        """Return the clips (B, T) of queries ``indices``."""
        clips = self.generator.render(self.context.seed, indices)
        if self.spec.normalise_peak:
            clips = clips / np.maximum(np.abs(clips).max(axis=1, keepdims=True), _SILENCE)
        return clips * np.float32(self.spec.gain)

    def make(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """Return the clip of query ``index``."""
        del rng
        clip: np.ndarray = self.make_batch(np.array([index]))[0]
        return clip


def find_generator(name: str) -> Path:
    """Return the folder that ``name`` means: itself, or, relative, beside the package."""
    path = expanded(name)
    beside = Path(__file__).parents[2] / path
    return beside if not path.exists() and beside.exists() else path
