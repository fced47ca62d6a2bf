"""From readings to rows: windows, alarms, the first of them, and what was gone by then."""

from collections.abc import Mapping, Sequence

import numpy as np

from attacker.lab.detection.stolen import StolenFields, stolen_fields
from shared.contract import DetectorReading

HONEST = "honest:"
"""Opens the name of a user, where it stands for an attacker."""


class DetectionRow(StolenFields):
    """One detector's record of one attacker or honest user."""

    study: str = ""
    detector: str
    attacker: str
    """Its name; ``honest:<kind>`` of an honest user, whose alarms are false."""
    seed: int
    accounts: int = 1
    queries: int
    """Clips sent, over all accounts."""
    windows: int
    alarms: int
    threshold: float
    false_alarm_target: float
    first_alarm_query: int | None
    """Clips that all accounts together had sent at the first alarm of any; None: there was none."""

    @property
    def share(self) -> float:
        """Share of windows that were alarms: true positives, or false alarms of a user."""
        return self.alarms / self.windows if self.windows else 0.0


def detection_rows(
    readings: Mapping[str, Sequence[DetectorReading]],
    sent: Mapping[str, np.ndarray],
    *,
    attacker: str,
    seed: int,
    false_alarm_target: float,
    marks: Mapping[int, float] | None = None,
    study: str = "",
) -> list[DetectionRow]:
    """Return a row for each detector that has a reading, by name.

    ``readings`` are by account; ``sent[account]`` (Q,) says of each clip of the account, in its
    order, how many clips all accounts had sent with it. ``marks`` are the surrogate's accuracy by
    queries spent.
    """
    everything = [(account, one) for account in readings for one in readings[account]]
    rows = []
    for detector in sorted({one.detector for _, one in everything}):
        own = [(account, one) for account, one in everything if one.detector == detector]
        seen = [_position(sent[account], one.query) for account, one in own if one.alarm]
        first = min(seen) if seen else None
        rows.append(
            DetectionRow(
                study=study,
                detector=detector,
                attacker=attacker,
                seed=seed,
                accounts=len(sent),
                queries=sum(len(places) for places in sent.values()),
                windows=len(own),
                alarms=len(seen),
                threshold=max(one.threshold for _, one in own),
                false_alarm_target=false_alarm_target,
                first_alarm_query=first,
                **stolen_fields(first, marks or {}).model_dump(),
            )
        )
    return rows


def _position(places: np.ndarray, query: int) -> int:
    return int(places[min(max(query, 1), len(places)) - 1])
