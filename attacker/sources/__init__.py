"""Query sources: what audio is sent. One file each, one line of the table.

A source that alters windows of the proxy corpus has its line in ``links.py``.
"""

from typing import Annotated, get_args

from pydantic import Field

from attacker.sources.base import Source, SourceContext
from attacker.sources.blinding import BlindingSpec
from attacker.sources.camouflage import CamouflageSpec
from attacker.sources.chain import ChainSpec
from attacker.sources.gaussian_noise import GaussianNoiseSpec
from attacker.sources.interpolate import InterpolateSpec
from attacker.sources.jitter import JitterSpec
from attacker.sources.links import LinkSpec
from attacker.sources.proxy import ProxySpec
from attacker.sources.wavegan import WaveganSpec
from shared.config import Frozen

SourceSpec = Annotated[
    ProxySpec  # the proxy corpus as it is
    | LinkSpec  # B1, B2 and every other alteration of it
    | ChainSpec
    | JitterSpec
    | BlindingSpec
    | CamouflageSpec
    | InterpolateSpec
    | GaussianNoiseSpec
    | WaveganSpec,
    Field(discriminator="kind"),
]

SOURCES: dict[str, type[Frozen]] = {
    spec.model_fields["kind"].default: spec for spec in get_args(get_args(SourceSpec)[0])
}

__all__ = ["SOURCES", "Source", "SourceContext", "SourceSpec"]
