"""Honest users: what a defence must not hurt. One file each, one line of the table."""

from typing import Annotated, get_args

from pydantic import Field

from shared.honest.base import HonestUser, UserSpec
from shared.honest.call_centre import CallCentreSpec
from shared.honest.drift_noise import DriftNoiseSpec
from shared.honest.monitoring_bot import MonitoringBotSpec
from shared.honest.single_speaker import SingleSpeakerSpec

AnyUserSpec = Annotated[
    SingleSpeakerSpec | CallCentreSpec | MonitoringBotSpec | DriftNoiseSpec,
    Field(discriminator="kind"),
]

USERS: dict[str, type[UserSpec]] = {
    spec.model_fields["kind"].default: spec for spec in get_args(get_args(AnyUserSpec)[0])
}

__all__ = ["USERS", "AnyUserSpec", "HonestUser", "UserSpec"]
