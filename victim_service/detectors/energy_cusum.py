"""`energy_cusum`: a run of clips of which the model is less sure than of honest ones."""

from typing import Literal

import numpy as np
from pydantic import Field

from victim_service.detectors.base import DetectorSpec, Memory, Reference
from victim_service.detectors.stepwise import Arrays, Row, Stepwise

_SMALLEST = 1e-6


class EnergyCusumSpec(DetectorSpec):
    """Sums up by how much clips are stranger than usual, within each window."""

    kind: Literal["energy_cusum"] = "energy_cusum"
    drift: float = Field(default=0.5, ge=0, le=10)
    """What every clip may be above the mean for nothing, in standard deviations."""

    def build(self, reference: Reference) -> "EnergyCusum":
        """Return the detector."""
        return EnergyCusum(self, reference)


class EnergyCusum(Stepwise):
    """Score: the highest that the sum has been in the window, in standard deviations, from 0.

    The sum starts from 0 in each window: an honest account whose microphone is poor would
    otherwise add up to an alarm in the end, however small its share of strange clips.

    Reference: Page, "Continuous Inspection Schemes", Biometrika 1954. The model's energy is taken
    as -log of its largest probability, the part of it that is left after the softmax.
    """

    def __init__(self, spec: EnergyCusumSpec, reference: Reference) -> None:
        super().__init__(spec.window)
        self.drift = spec.drift
        usual = np.array([_unsure(row) for row in reference.seen.probabilities])
        self.mean, self.deviation = float(usual.mean()), max(float(usual.std()), 1e-3)

    def begin(self) -> Memory:
        """Return sums of 0."""
        return {"sum": np.zeros(1, np.float64), "highest": np.zeros(1, np.float64)}

    def add(self, arrays: Arrays, embedding: Row, probabilities: Row, clip: Row) -> None:
        """Move the sum, which never falls below 0."""
        excess = (_unsure(probabilities) - self.mean) / self.deviation - self.drift
        arrays["sum"][0] = max(0.0, arrays["sum"][0] + excess)
        arrays["highest"][0] = max(arrays["highest"][0], arrays["sum"][0])

    def score(self, memory: Memory) -> float:
        """Return the highest sum."""
        return float(memory["highest"][0])

    def close(self, memory: Memory) -> Memory:
        """Sum anew."""
        return self.begin()


def _unsure(probabilities: Row) -> float:
    return -float(np.log(max(float(probabilities.max()), _SMALLEST)))
