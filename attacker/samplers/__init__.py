"""Samplers: which answers are kept. One file each, one line of the table."""

from typing import Annotated, get_args

from pydantic import Field

from attacker.samplers.base import Sampler, SamplerContext
from attacker.samplers.dynamic_threshold import DynamicThresholdSpec
from attacker.samplers.keep_all import KeepAllSpec
from attacker.samplers.static_threshold import StaticThresholdSpec
from shared.config import Frozen

SamplerSpec = Annotated[
    KeepAllSpec  # the baseline of Algorithm 1: no caps
    | StaticThresholdSpec
    | DynamicThresholdSpec,
    Field(discriminator="kind"),
]

SAMPLERS: dict[str, type[Frozen]] = {
    spec.model_fields["kind"].default: spec for spec in get_args(get_args(SamplerSpec)[0])
}

__all__ = ["SAMPLERS", "Sampler", "SamplerContext", "SamplerSpec"]
