"""Query sources: what audio is sent. One file each, one line of the table."""

from typing import Annotated, get_args

from pydantic import Field

from attacker.sources.amplify import AmplifySpec
from attacker.sources.base import Source, SourceContext
from attacker.sources.gaussian_noise import GaussianNoiseSpec
from attacker.sources.interpolate import InterpolateSpec
from attacker.sources.pitch_shift import PitchShiftSpec
from attacker.sources.proxy import ProxySpec
from attacker.sources.wavegan import WaveganSpec
from shared.config import Frozen

SourceSpec = Annotated[
    ProxySpec  # the proxy corpus as it is
    | AmplifySpec
    | PitchShiftSpec
    | InterpolateSpec
    | GaussianNoiseSpec
    | WaveganSpec,
    Field(discriminator="kind"),
]

SOURCES: dict[str, type[Frozen]] = {
    spec.model_fields["kind"].default: spec for spec in get_args(get_args(SourceSpec)[0])
}

__all__ = ["SOURCES", "Source", "SourceContext", "SourceSpec"]
