"""Adaptions: what is made of answers before training. One file each, one line of the table."""

from typing import Annotated, get_args

from pydantic import Field

from attacker.adaptive.average import AverageSpec
from attacker.adaptive.base import Adaption, AdaptionContext, AdaptionSpec
from attacker.adaptive.denoiser import DenoiserSpec
from attacker.adaptive.inversion import InversionSpec
from attacker.adaptive.majority import MajoritySpec
from attacker.adaptive.top1 import Top1Spec

AnyAdaptionSpec = Annotated[
    Top1Spec | AverageSpec | MajoritySpec | InversionSpec | DenoiserSpec,
    Field(discriminator="kind"),
]

ADAPTIONS: dict[str, type[AdaptionSpec]] = {
    spec.model_fields["kind"].default: spec for spec in get_args(get_args(AnyAdaptionSpec)[0])
}

__all__ = ["ADAPTIONS", "Adaption", "AdaptionContext", "AdaptionSpec", "AnyAdaptionSpec"]
