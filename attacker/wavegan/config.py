"""What a WaveGAN training is made of."""

from typing import Literal

from pydantic import Field, field_validator

from attacker.wavegan.networks import count_stages
from shared.config import Frozen
from shared.corpora import CorpusSpec


class HealthLimits(Frozen):
    """When a training counts as dead; see ``attacker.wavegan.health`` for each figure.

    The defaults are our own. A young generator makes one sound for hundreds of steps (at desk size
    and a learning rate of 3e-4 its diversity passed 0.1 at step 450), hence the long grace.
    """

    every: int = Field(100, ge=1, description="generator steps between checks")
    clips: int = Field(64, ge=8, description="clips generated for a check")
    grace_steps: int = Field(2000, ge=0, description="no finding counts before this step")
    patience: int = Field(5, ge=1, description="checks in a row that a finding must last")
    min_loudness: float = Field(0.05, ge=0, description="RMS over the RMS of the corpus")
    max_clipping: float = Field(0.25, gt=0, le=1, description="share of samples at full scale")
    max_loss: float = Field(1e4, gt=0, description="absolute critic loss")
    min_diversity: float = Field(0.1, ge=0, description="spectral spread over the corpus's")


class GanConfig(Frozen):
    """Hyper-parameters of one WaveGAN training; the defaults are the published ones."""

    clip_samples: int = Field(16384, description="T, 16 * 4**n")
    dim: int = Field(64, ge=1, description="width of the networks")
    latent: int = Field(100, ge=1)
    steps: int = Field(170_000, ge=1, description="generator updates")
    batch_size: int = Field(64, ge=2)
    critic_steps: int = Field(5, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    betas: tuple[float, float] = (0.5, 0.9)
    penalty_weight: float = Field(10.0, ge=0)
    phase_shuffle: int = Field(2, ge=0, description="largest shift, in samples of each layer")
    normalise: Literal["clip", "window", "none"] = Field(
        "clip", description="divide by the peak of the whole clip, of the window, or by nothing"
    )
    min_window_rms: float = Field(
        0.1, ge=0, description="windows quieter than this share of their clip's RMS are redrawn"
    )
    seed: int = 0
    checkpoint_every: int = Field(100, ge=1, description="generator steps, as the next two")
    preview_every: int = Field(1000, ge=1)
    log_every: int = Field(10, ge=1)
    health: HealthLimits = HealthLimits()

    @field_validator("clip_samples")
    @classmethod
    def _whole_stages(cls, value: int) -> int:
        count_stages(value)
        return value


class Weighting(Frozen):
    """How clips are weighed by what a victim said of them.

    See ``attacker.wavegan.answer_weights`` for the formulas, which are our own.
    """

    by: Literal["entropy", "label"] = Field(
        "entropy", description="how unsure the victim was of a clip, or how rare its label is"
    )
    power: float = Field(
        1.0, ge=-4, le=4, description="exponent; below 0 sure clips, or common labels, come more"
    )
    queries: int | None = Field(
        None, ge=1, description="only the first so many that were bought; null takes all"
    )


class AnswerWeights(Weighting):
    """Draws proxy clips by what a victim said of them, in a campaign that was paid for.

    Nothing is used but that campaign's journal; its source must be ``proxy``, on this very corpus.
    """

    run: str = Field(description="folder of the run; the campaign's journal lies in it")
    campaign: str = Field(description="name of the campaign")


class TrainGanFile(Frozen):
    """The YAML file of ``earshot-attacker train-gan``."""

    corpus: CorpusSpec
    sample_rate_hz: int = Field(16_000, ge=1000)
    gan: GanConfig
    answers: AnswerWeights | None = None
    """Weights of the corpus's clips; null draws all alike."""
