"""Measures fitted detectors on traffic that they were not fitted to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.seeding import derive
from victim_service.detectors import DETECTORS
from victim_service.detectors.base import Seen
from victim_service.detectors.fitted import Fitted
from victim_service.detectors.fitting import Progress, honest_scores, network_of, traffic_of
from victim_service.detectors.honest import PROFILES
from victim_service.detectors.running import scores
from victim_service.train import Data, VictimRecipe

_BATCH = 64


@dataclass(frozen=True)
class Reading:
    """What one detector said to one kind of traffic."""

    kind: str
    traffic: str
    users: int
    """Accounts; the windows of one resemble one another."""
    accused: int
    """Accounts with an alarm."""
    windows: int
    alarms: int
    first: int | None
    """Clips of a thief's stream up to and including the first window that is an alarm."""

    def cells(self) -> tuple[str, ...]:
        """Return the row of a table."""
        share = f"{100 * self.alarms / self.windows:.2f} %" if self.windows else ""
        first = "" if self.first is None else f"{self.first} clips"
        accused = f"{self.accused} of {self.users}"
        alarms = f"{self.alarms} of {self.windows}"
        return self.kind, self.traffic, accused, alarms, share, first


class Trial:
    """A victim, its corpus and its fitted detectors.

    Raises:
        CheckpointError, StartError: the checkpoint is not that of the recipe and corpus.
    """

    def __init__(self, folder: Path, recipe: VictimRecipe, data: Data, fitted: Fitted) -> None:
        self.network, _ = network_of(folder, recipe, data)
        self.recipe, self.data = recipe, data
        fits = fitted.document.fits
        specs = {kind: DETECTORS[kind].model_validate(fit.settings) for kind, fit in fits.items()}
        self.detectors = {kind: spec.build(fitted.reference) for kind, spec in specs.items()}
        self.thresholds = fitted.thresholds

    def honest(
        self, windows: int, profiles: Sequence[str] = PROFILES, progress: Progress | None = None
    ) -> Iterator[Reading]:
        """Yield a reading for each detector and profile, on users made of the test split."""
        seed = derive(self.recipe.seed, "detectors-try")
        test = np.asarray(self.data.split.test)
        traffic = traffic_of(self.data, self.recipe, test, self.network, seed)
        by_kind = honest_scores(traffic, self.detectors, windows, profiles, progress)
        for kind, found in by_kind.items():
            for profile, users in found.items():
                alarms = [sum(s > self.thresholds[kind] for s in user) for user in users]
                windows, accused = sum(map(len, users)), sum(map(bool, alarms))
                yield Reading(kind, profile, len(users), accused, windows, sum(alarms), None)

    def thief(self, name: str, clips: npt.NDArray[np.float32]) -> Iterator[Reading]:
        """Yield a reading for each detector on one account that sends ``clips`` (B, T)."""
        answered = [
            self.network(clips[start : start + _BATCH]) for start in range(0, len(clips), _BATCH)
        ]
        embeddings, probabilities = (np.concatenate(part) for part in zip(*answered, strict=True))
        seen = Seen(embeddings, probabilities, clips)
        for kind, detector in self.detectors.items():
            alarms = np.array(list(scores(detector, seen))) > self.thresholds[kind]
            first = detector.window * (int(alarms.argmax()) + 1) if alarms.any() else None
            yield Reading(kind, name, 1, int(alarms.any()), len(alarms), int(alarms.sum()), first)
