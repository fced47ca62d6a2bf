"""From readings to rows: windows, alarms, the first of them, and what was gone by then."""

from collections.abc import Mapping, Sequence

import numpy as np

from attacker.lab.detection.stolen import StolenFields, stolen_fields
from shared.contract import DetectorReading

HONEST = "honest:"
"""Opens the name of a user, where it stands for an attacker."""


class Detection(StolenFields):
    """What a detector did about one attacker or honest user, as far as it is looked at again."""

    detector: str
    attacker: str
    """Its name; ``honest:<kind>`` of an honest user, whose alarms are false."""
    seed: int
    queries: int
    """Clips sent, over all accounts."""
    windows: int
    alarms: int
    false_alarm_target: float
    first_alarm_query: int | None
    """Clips that all accounts together had sent at the first alarm of any; None: there was none."""


class DetectionRow(Detection):
    """One detector's whole record of one attacker or honest user."""

    study: str = ""
    """Name of the trial."""
    accounts: int = 1
    threshold: float


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
