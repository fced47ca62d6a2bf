"""`monitoring_bot`: the same few clips for ever, to see that the service is up and right."""

from typing import Literal

import numpy as np
from pydantic import Field

from attacker.lab.benign.base import HonestUser, UserSpec, Utterance
from attacker.lab.bundle import Bundle


class MonitoringBotSpec(UserSpec):
    """Sends ``probes`` recordings in turn, the same bytes each time."""

    kind: Literal["monitoring_bot"] = "monitoring_bot"
    probes: int = Field(default=10, ge=1, le=1000)

    def build(self, bundle: Bundle, seed: int) -> HonestUser:
        """Return the bot; the seed chooses its recordings."""
        return MonitoringBot(self, bundle, seed)


class MonitoringBot(HonestUser):
    """Recordings of the bundle as they are, in turn."""

    def __init__(self, spec: MonitoringBotSpec, bundle: Bundle, seed: int) -> None:
        super().__init__(spec.kind, bundle, seed)
        count = min(spec.probes, len(bundle.clips))
        self.probes: np.ndarray = self.stream("probes").permutation(len(bundle.clips))[:count]

    def say(self, query: int) -> Utterance:
        """Return the probe whose turn it is."""
        clip = int(self.probes[query % len(self.probes)])
        return Utterance(self.recording(clip), int(self.bundle.labels[clip]))
