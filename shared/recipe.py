"""How a network is trained, as data."""

import math
from typing import Literal

from pydantic import Field

from shared.config import Frozen, later


class Recipe(Frozen):
    """How a network is trained; the published recipe is Adam with default betas."""

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "one_cycle"] = "constant"
    """``one_cycle`` warms up over 30 % of the steps and falls along a cosine after that."""
    patience: int = Field(default=5, ge=1)
    """Epochs without a better validation score after which training stops; as many as ``epochs``
    never stop it."""
    max_shift_samples: int = Field(default=0, ge=0)
    """Each training clip is shifted by up to this many samples either way; the gap is silence."""
    weight_decay: float = Field(default=0.0, ge=0)
    max_gain: float = later(1.0, ge=1, le=1000)
    """Each training clip is multiplied by a factor that is log-uniform in [1/A, A], and clipped."""
    max_speed: float = later(1.0, ge=1, le=2)
    """Each training clip is played at a speed that is log-uniform in [1/S, S], which moves its
    pitch as well; what is missing at the ends is silence."""
    temperature: float = later(1.0, gt=0, le=100)
    """T: soft targets become p^(1/T), normalised, and logits z/T; labels know no temperature."""
    balance: float = later(0.0, ge=0, le=1)
    """beta: an epoch draws a clip in proportion to n^-beta, n the clips of its label; 0 takes each
    clip once, 1 shows all labels equally often."""
    weight_average: float = later(0.0, ge=0, lt=1)
    """Decay of a moving average of the weights, which is then judged and kept; 0 is none."""
    precision: Literal["auto", "float32", "bfloat16"] = later("auto")
    """``auto``: bfloat16 where the device, CUDA or CPU, has instructions for it, else float32."""
    compile: Literal["auto", "always", "never"] = later("auto")
    """Whether steps are compiled, which takes about half a minute; ``auto``: long trainings on
    CUDA."""


def learning_rate_at(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of ``step`` (from 0) out of ``steps``."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    warm_up = max(1, round(0.3 * steps))
    if step < warm_up:
        start, end, share = recipe.learning_rate / 25, recipe.learning_rate, step / warm_up
    else:
        share = (step - warm_up) / max(1, steps - 1 - warm_up)
        start, end = recipe.learning_rate, recipe.learning_rate / 1e4
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
